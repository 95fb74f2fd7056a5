// Emulated Gaudi: torch's DispatchKey::HPU on host memory. One translation unit, so that torch's headers are read once.
#include <ATen/EmptyTensor.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/resize_native.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "autocast.h"
#include "fallback.h"

namespace emulated {


// ---------------------------------------------------------------- kernels of our own: factories, views, set_
at::Tensor noted(at::Tensor tensor) {
  if (g_capture && !g_replaying) g_capture->allocation(tensor.storage());
  return tensor;
}
at::Tensor empty(c10::IntArrayRef size, std::optional<at::ScalarType> type, std::optional<at::Layout>,
                 std::optional<c10::Device> device, std::optional<bool>, std::optional<c10::MemoryFormat> format) {
  check_device(device);
  return noted(at::detail::empty_generic(size, &g_allocator, c10::DispatchKeySet(c10::DispatchKey::HPU),
                                         c10::dtype_or_default(type), format));
}
at::Tensor empty_strided(c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<at::ScalarType> type,
                         std::optional<at::Layout>, std::optional<c10::Device> device, std::optional<bool>) {
  check_device(device);
  return noted(at::detail::empty_strided_generic(size, stride, &g_allocator,
                                                 c10::DispatchKeySet(c10::DispatchKey::HPU),
                                                 c10::dtype_or_default(type)));
}
at::Tensor as_strided(const at::Tensor& self, c10::IntArrayRef size, c10::IntArrayRef stride,
                      std::optional<int64_t> offset) {
  return at::native::as_strided_tensorimpl(self, size, stride, offset);
}
const at::Tensor& resize_(const at::Tensor& self, c10::IntArrayRef size, std::optional<c10::MemoryFormat> format) {
  if (g_capture && !g_replaying) g_capture->pin(self.storage());
  return at::native::resize_(self, size, format);
}
at::Tensor& set_storage(at::Tensor& self, c10::Storage storage) {
  const auto size = static_cast<int64_t>(storage.nbytes() / self.dtype().itemsize());
  return at::native::set_storage_cpu_(self, std::move(storage), 0, {size}, {});
}
at::Tensor& set_storage_offset(at::Tensor& self, c10::Storage storage, int64_t offset, c10::IntArrayRef size,
                               c10::IntArrayRef stride) {
  return at::native::set_storage_cpu_(self, std::move(storage), offset, size, stride);
}
at::Tensor& set_nothing(at::Tensor& self) {
  c10::Storage none(c10::Storage::use_byte_size_t(), 0, g_allocator.allocate(0), &g_allocator, true);
  return set_storage_offset(self, std::move(none), 0, {0}, {});
}
at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  to.resize_(from.sizes());
  return copy_from(from, to, false);
}

// ---------------------------------------------------------------- HPU graphs, as Python sees them
struct Graph {
  std::unique_ptr<Tape> tape;

  void capture_begin() {
    TORCH_CHECK(!g_capture, "emulated Gaudi: another HPU graph is being captured");
    g_recipes.step();
    g_capture = std::make_unique<Tape>();
    started_ = Clock::now();
  }
  void capture_end(const std::string& name) {
    TORCH_CHECK(g_capture, "emulated Gaudi: no HPU graph is being captured");
    tape = std::move(g_capture);
    tape->finish();
    g_recipes.forget_step();
    ++g_counters.captures;
    ++g_counters.cache_misses[name];
    compiled(name, std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - started_).count());
    g_window.replay();
  }
  void replay() {
    TORCH_CHECK(tape, "emulated Gaudi: this HPU graph holds nothing to replay");
    TORCH_CHECK(!g_capture, "emulated Gaudi: a replay inside a capture is not emulated");
    g_recipes.step();
    g_window.replay();
    g_replaying = true;
    struct Done {
      ~Done() { g_replaying = false; }
    } done;
    tape->replay();
    ++g_counters.replays;
    g_counters.replayed_operations += static_cast<int64_t>(tape->operations());
    g_recipes.forget_step();
  }

 private:
  Clock::time_point started_{};
};



TORCH_LIBRARY_IMPL(_, AutocastHPU, m) { m.fallback(torch::CppFunction::makeFallthrough()); }
TORCH_LIBRARY_IMPL(aten, AutocastHPU, m) { register_autocast(m); }
TORCH_LIBRARY_IMPL(_, HPU, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>()); }
TORCH_LIBRARY_IMPL(aten, HPU, m) {
  m.impl("empty.memory_format", &empty);
  m.impl("empty_strided", &empty_strided);
  m.impl("as_strided", &as_strided);
  m.impl("view", &at::native::view);
  m.impl("_reshape_alias", &at::native::_reshape_alias);
  m.impl("unfold", &at::native::unfold);
  m.impl("resize_", &resize_);
  m.impl("set_.source_Storage", &set_storage);
  m.impl("set_.source_Storage_storage_offset", &set_storage_offset);
  m.impl("set_", &set_nothing);
  m.impl("_copy_from", &copy_from);
  m.impl("_copy_from_and_resize", &copy_from_and_resize);
  // Else the first are decomposed, and no longer bit for bit what the CPU kernel computes; the others raise.
  for (const char* name : {"native_layer_norm", "native_batch_norm", "native_group_norm", "convolution_overrideable",
                           "convolution_backward_overrideable"})
    m.impl(name, torch::CppFunction::makeFromBoxedFunction<&fallback>());
}

}  // namespace emulated

using namespace emulated;
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  namespace py = pybind11;
  using Free = py::call_guard<py::gil_scoped_release>;
  m.def("start", [](int64_t devices, int64_t index, int64_t limit, int rank, bool lazy, bool lazy_collectives) {
    g_device_count = devices;
    g_index = static_cast<c10::DeviceIndex>(index);
    g_account.limit = limit;
    g_account.rank = rank;
    g_recipes.lazy = lazy;
    g_lazy_collectives = lazy_collectives;
    g_window.random.seed(static_cast<uint64_t>(rank));
  });
  m.def("lazy_collectives", [] { return g_lazy_collectives; });
  m.def("publish_memory", [](const std::string& path) { g_account.publish(path); });
  m.def("memory", [] {
    return std::map<std::string, int64_t>{{"limit", g_account.limit},
                                          {"in_use", g_account.in_use},
                                          {"peak", g_account.peak},
                                          {"allocations", g_account.allocations},
                                          {"frees", g_account.frees},
                                          {"largest", g_account.largest},
                                          {"total_allocations", g_account.total_allocations},
                                          {"total_frees", g_account.total_frees}};
  });
  m.def("reset_peak", [] { g_account.peak = g_account.in_use.load(); });
  m.def("clear_accumulated", [] { g_account.allocations = g_account.frees = 0; });
  m.def("synchronise", &synchronise, Free());
  m.def("step", [] {
    if (!g_capture) g_recipes.step();
  });
  m.def("operations", [] { return g_counters.operations; });
  m.def("counters", [] {
    py::dict d;
    d["operations"] = g_counters.operations;
    d["captures"] = g_counters.captures;
    d["replays"] = g_counters.replays;
    d["replayed_operations"] = g_counters.replayed_operations;
    d["compilations"] = g_counters.compilations.size();
    d["cpu_fallbacks"] = g_counters.cpu_fallbacks;
    d["cache_hits"] = g_counters.cache_hits;
    d["cache_misses"] = g_counters.cache_misses;
    d["defragmentations"] = g_counters.defragmentations.size();
    return d;
  });
  m.def("compilations", [](size_t from) {
    const auto& all = g_counters.compilations;
    return std::vector<std::pair<std::string, int64_t>>(all.begin() + std::min(from, all.size()), all.end());
  });
  m.def("defragmentations", [](size_t from) {
    const auto& all = g_counters.defragmentations;
    return std::vector<std::pair<bool, int64_t>>(all.begin() + std::min(from, all.size()), all.end());
  });
  m.def("simulate_clock", [] { g_clock.simulated = true; });
  m.def("clock_ns", [] { return std::chrono::nanoseconds(g_clock.now().time_since_epoch()).count(); });
  m.def("set_slowness", [](bool graphs, double slower, double noise, double operation_s) {
    (graphs ? g_window.with_graphs : g_window.eager) = {slower, noise, operation_s};
  });
  m.def("set_faults", [](const std::vector<std::tuple<int, int64_t, int64_t, int64_t>>& faults) {
    g_due.clear();
    for (const auto& [fault, after, period, amount] : faults)
      g_due.push_back({static_cast<Fault>(fault), g_counters.operations + std::max<int64_t>(after, 1), period, amount});
    set_next_due();
  });
  m.def("is_capturing", [] { return g_capture != nullptr; });
  m.def("abandon_capture", [] { g_capture.reset(); });
  py::class_<Graph>(m, "Graph")
      .def(py::init())
      .def("capture_begin", &Graph::capture_begin)
      .def("capture_end", &Graph::capture_end)
      .def("replay", &Graph::replay, Free())
      .def("reset", [](Graph& g) { g.tape.reset(); })
      .def_property_readonly("operations", [](Graph& g) { return g.tape ? g.tape->operations() : 0; });
}
