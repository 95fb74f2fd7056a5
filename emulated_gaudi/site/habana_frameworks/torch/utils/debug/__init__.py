"""The bridge's switches for its developers. What could be true of the emulation is answered; most change nothing."""

import logging

from habana_frameworks.torch._device import NotEmulatedError, native

_logger = logging.getLogger(__name__)
# Switches of the compiler and printing of its memory and recipes: accepted, for nothing is compiled.
_WITHOUT_EFFECT = frozenset(
    "_flush_disk_cache _set_dynamic_mode _enable_eliminate_common_subexpression _enable_eliminate_dead_code "
    "_enable_constant_pooling _enable_peephole_optimization _enable_fuse_t_mm_optimization "
    "_enable_fuse_bn_relu_optimization _enable_bn_param_recalculation _enable_fuse_conv_bn_optimization "
    "_enable_permute_pass _enable_replace_inplace_ops _enable_replace_views _clear_jit_cache "
    "_dump_refined_recipe_stat _disable_bucket_refinement clear_dynamic_bucket_recipe_info _bridge_cleanup "
    "_set_module_name".split()
)
_NOT_EMULATED = frozenset(
    "_get_shape_agnostic_unsupported_ops _get_eager_compiler_unsupported_op_prefixes _get_jit_cache_size "
    "_memstat_livealloc _memstat_devmem_start_collect _memstat_devmem_stop_collect _dump_bucket_memory_stat "
    "_dump_history_memory_stat _dump_recipe_memory_stat _dump_synapse_recipe_memory_stat "
    "_dump_dynamic_shape_memory_stat load_ds_checkpoint save_ds_checkpoint _mem_log _dump_memory_reporter "
    "_towl_configure _towl_print".split()
)


def _get_fallback_op_count():
    return native.counters()["cpu_fallbacks"]


def _is_enabled_weight_permute_pass():
    return False


def _is_enabled_synapse_layout_handling():
    return True


def _is_enabled_lazy_collectives():
    return native.lazy_collectives()


def _hb_print(msg):
    _logger.info("%s", msg)


_hg_print = _hb_print


def get_tensor_info(tensor):
    """Address and bytes of the storage; None of a tensor that is not on the device."""
    if tensor.device.type != "hpu":
        return None
    storage = tensor.untyped_storage()
    return storage.data_ptr(), storage.nbytes()


def __getattr__(name):
    if name in _WITHOUT_EFFECT:
        return lambda *args, **kwargs: None
    if name in _NOT_EMULATED:
        raise NotEmulatedError(f"habana_frameworks.torch.utils.debug.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
