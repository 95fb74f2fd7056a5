// Every operation without a kernel of its own on DispatchKey::HPU comes here: its tensors are passed to the CPU
// kernel as aliases of the same bytes, and what the kernel returns is put back on the device. Where the CPU has no kernel
// (the bridge's own operators, convolution_overrideable), or another meaning, operators.py has one under kOwn.
#pragma once

#include <torch/library.h>

#include "tape.h"

namespace emulated {

constexpr auto kOwn = c10::DispatchKey::PrivateUse3;  // a key that no device has here

inline std::unique_ptr<Tape> g_capture;  // not null: capturing
inline bool g_replaying = false;
inline bool g_lazy_collectives = false;

// The host's aliases of one operation's tensors; the same storage gets the same alias.
class Aliases {
 public:
  at::Tensor to_cpu(const at::Tensor& device) {
    for (const auto& p : pairs_)
      if (p.device.unsafeGetTensorImpl() == device.unsafeGetTensorImpl()) return p.cpu;
    const c10::Storage& storage = device.storage();
    c10::Storage alias;
    for (const auto& p : pairs_)
      if (p.device.storage().unsafeGetStorageImpl() == storage.unsafeGetStorageImpl()) {
        alias = p.cpu.storage();
        break;
      }
    if (alias.unsafeGetStorageImpl() == nullptr)
      alias = c10::Storage(c10::Storage::use_byte_size_t(), storage.nbytes(),
                           c10::DataPtr(const_cast<void*>(storage.data()), new c10::Storage(storage), &release,
                                        c10::Device(c10::DeviceType::CPU)),
                           c10::GetAllocator(c10::DeviceType::CPU), true);
    auto cpu = tensor_over(std::move(alias), c10::DispatchKey::CPU, device.dtype(), device.sizes(), device.strides(),
                           device.storage_offset(), device.is_conj(), device.is_neg());
    if (device.unsafeGetTensorImpl()->is_wrapped_number()) cpu.unsafeGetTensorImpl()->set_wrapped_number(true);
    pairs_.push_back({device, cpu});
    return cpu;
  }

  // A kernel may have resized an argument: take over its storage and shape.
  void take_back() {
    for (auto& p : pairs_) {
      auto *device = p.device.unsafeGetTensorImpl(), *cpu = p.cpu.unsafeGetTensorImpl();
      const c10::Storage &ours = p.device.storage(), &theirs = p.cpu.storage();
      if (theirs.data() != ours.data() || theirs.nbytes() != ours.nbytes()) {
        c10::Storage adopted = adopt(theirs);
        ours.unsafeGetStorageImpl()->set_nbytes(adopted.nbytes());
        ours.unsafeGetStorageImpl()->set_data_ptr(
            std::move(adopted.unsafeGetStorageImpl()->_mutable_data_ptr_no_checks()));
      }
      if (device->sizes() != cpu->sizes() || device->strides() != cpu->strides() ||
          device->storage_offset() != cpu->storage_offset())
        device->set_sizes_and_strides(cpu->sizes(), cpu->strides(), cpu->storage_offset());
    }
  }

  at::Tensor to_device(const at::Tensor& cpu) const {
    if (!cpu.defined() || !cpu.device().is_cpu() || !cpu.has_storage()) return cpu;
    for (const auto& p : pairs_)
      if (p.cpu.unsafeGetTensorImpl() == cpu.unsafeGetTensorImpl()) return p.device;
    c10::Storage storage;
    for (const auto& p : pairs_)
      if (p.cpu.storage().unsafeGetStorageImpl() == cpu.storage().unsafeGetStorageImpl()) {
        storage = p.device.storage();
        break;
      }
    if (storage.unsafeGetStorageImpl() == nullptr) storage = adopt(cpu.storage());
    return tensor_over(std::move(storage), c10::DispatchKey::HPU, cpu.dtype(), cpu.sizes(), cpu.strides(),
                       cpu.storage_offset(), cpu.is_conj(), cpu.is_neg());
  }

 private:
  struct Pair {
    at::Tensor device, cpu;
  };
  static void release(void* storage) { delete static_cast<c10::Storage*>(storage); }
  c10::SmallVector<Pair, 6> pairs_;
};

inline bool starts_with(const std::string& text, const char* start) { return text.rfind(start, 0) == 0; }

// Operations that take tensors of the host beside those of the device.
inline bool may_mix_devices(const std::string& name) {
  return name == "aten::copy_" || name == "aten::_copy_from" || name == "aten::_has_compatible_shallow_copy_type" ||
         name == "aten::_assert_async" || starts_with(name, "aten::index") || starts_with(name, "aten::_index") ||
         starts_with(name, "aten::set_") || starts_with(name, "aten::_foreach") ||
         starts_with(name, "aten::is_set_to") || starts_with(name, "c10d::");
}

// Operations whose result depends on the data and goes to the host: the host waits for the device.
inline bool reads_to_host(const std::string& name) {
  return name == "aten::_local_scalar_dense" || name == "aten::equal" || name == "aten::is_nonzero";
}

class Call {
 public:
  Call(const c10::OperatorHandle& op, torch::jit::Stack* stack)
      : op_(op), stack_(*stack), name_(op.schema().name()), count_(op.schema().arguments().size()),
        base_(stack->size() - count_) {}

  void run() {
    count_operation();
    const bool capturing = g_capture && !g_replaying;
    if (starts_with(name_, "c10d::") && capturing)
      TORCH_CHECK(g_lazy_collectives, "emulated Gaudi: ", name_, " inside an HPU graph needs ",
                  "PT_HPU_ENABLE_LAZY_COLLECTIVES=true before habana_frameworks is imported");
    std::vector<Argument> recorded;
    if (capturing)
      for (size_t i = 0; i < count_; i++) recorded.push_back(g_capture->argument(stack_[base_ + i]));
    const bool recipe = !g_replaying && !capturing;
    if (recipe) g_recipes.mix(std::hash<std::string>()(name_));
    for (size_t i = 0; i < count_; i++) convert(stack_[base_ + i]);
    if (on_host_ && on_device_ && !may_mix_devices(name_))
      TORCH_CHECK(false, "Expected all tensors to be on the same device, but found at least two devices, ",
                  own_device(), " and cpu! (operator ", name_, ")");
    const auto key = op_.hasKernelForDispatchKey(kOwn) ? kOwn : c10::DispatchKey::CPU;
    op_.redispatchBoxed(c10::DispatchKeySet(key), &stack_);
    aliases_.take_back();
    const size_t returns = op_.schema().returns().size();
    for (size_t i = stack_.size() - returns; i < stack_.size(); i++) put_back(stack_[i]);
    if (recipe) g_recipes.operation_done();
    if (capturing) record(std::move(recorded), returns);
    if (!g_replaying && reads_to_host(name_)) synchronise();
  }

 private:
  at::Tensor converted(const at::Tensor& t) {
    if (!t.defined()) return t;
    if (t.device().type() != kHPU) {
      on_host_ = on_host_ || t.dim() > 0;
      return t;
    }
    on_device_ = true;
    for (int64_t size : t.sizes()) g_recipes.mix(static_cast<uint64_t>(size));
    g_recipes.mix(static_cast<uint64_t>(t.scalar_type()) << 32);
    return aliases_.to_cpu(t);
  }
  void convert(IValue& value) {
    if (value.isTensor()) {
      value = converted(value.toTensor());
    } else if (value.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const at::Tensor& t : value.toTensorVector()) list.push_back(converted(t));
      value = std::move(list);
    } else if (value.isOptionalTensorList()) {
      c10::List<std::optional<at::Tensor>> list;
      for (const std::optional<at::Tensor>& t : value.toOptionalTensorVector())
        list.push_back(t ? std::optional<at::Tensor>(converted(*t)) : std::nullopt);
      value = std::move(list);
    } else if (value.isDevice() && value.toDevice().type() == kHPU) {
      check_device(value.toDevice());
      value = c10::Device(c10::DeviceType::CPU);
    } else if (value.isList() && !value.toListRef().empty() && value.toListRef()[0].isTensorList()) {
      c10::List<c10::List<at::Tensor>> lists;
      for (const IValue& inner : value.toListRef()) {
        c10::List<at::Tensor> list;
        for (const at::Tensor& t : inner.toTensorVector()) list.push_back(converted(t));
        lists.push_back(list);
      }
      value = std::move(lists);
    }
  }
  void put_back(IValue& value) {
    if (value.isTensor()) {
      value = aliases_.to_device(value.toTensor());
    } else if (value.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const at::Tensor& t : value.toTensorVector()) list.push_back(aliases_.to_device(t));
      value = std::move(list);
    } else if (value.isList() && !value.toListRef().empty() && value.toListRef()[0].isTensorList()) {
      c10::List<c10::List<at::Tensor>> lists;
      for (const IValue& inner : value.toListRef()) {
        c10::List<at::Tensor> list;
        for (const at::Tensor& t : inner.toTensorVector()) list.push_back(aliases_.to_device(t));
        lists.push_back(list);
      }
      value = std::move(lists);
    }
  }
  void record(std::vector<Argument> arguments, size_t returns) {
    Entry entry{Entry::kOperation, op_, std::move(arguments), {}, {}};
    auto made = [&](const at::Tensor& t, size_t position, size_t item) {
      if (!t.defined() || t.device().type() != kHPU) return;
      const int slot = g_capture->made_slot(t.storage());
      if (slot >= 0) entry.results.push_back({position, item, slot, t.storage().nbytes(), c10::DimVector(t.sizes())});
    };
    for (size_t i = 0; i < returns; i++) {
      const IValue& value = stack_[stack_.size() - returns + i];
      if (value.isTensor()) {
        made(value.toTensor(), i, 0);
      } else if (value.isTensorList()) {
        size_t item = 0;
        for (const at::Tensor& t : value.toTensorVector()) made(t, i, item++);
      }
    }
    // What neither makes nor changes anything (a view, item()) leaves no trace.
    if (!entry.results.empty() || op_.schema().is_mutable() || starts_with(name_, "c10d::"))
      g_capture->entries.push_back(std::move(entry));
  }

  const c10::OperatorHandle& op_;
  torch::jit::Stack& stack_;
  const std::string& name_;
  size_t count_, base_;
  Aliases aliases_;
  bool on_host_ = false, on_device_ = false;
};

inline void fallback(const c10::OperatorHandle& op, c10::DispatchKeySet, torch::jit::Stack* stack) {
  Call(op, stack).run();
}

// Copies: between host and device, and on the device. Both sides are host bytes.
inline void copy_bytes(const at::Tensor& from, const at::Tensor& to) {
  Aliases aliases;
  const at::Tensor source = from.device().type() == kHPU ? aliases.to_cpu(from) : from;
  const at::Tensor target = to.device().type() == kHPU ? aliases.to_cpu(to) : to;
  target.copy_(source);
}

inline at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool) {
  count_operation();
  copy_bytes(from, to);
  const bool to_host = to.device().type() != kHPU;
  if (g_capture && !g_replaying && !to_host)
    g_capture->entries.push_back(
        {Entry::kCopy, std::nullopt, {g_capture->operand(from), g_capture->operand(to)}, {}, {}});
  if (!g_replaying && to_host) synchronise();
  return to;
}

inline void Tape::replay() {
  torch::jit::Stack stack;
  for (const Entry& entry : entries) {
    if (entry.kind == Entry::kAllocation) {
      const Result& r = entry.results[0];
      Slot& slot = slots_[r.slot];
      if (slot.transient)
        slot.storage = c10::Storage(c10::Storage::use_byte_size_t(), r.bytes, g_allocator.allocate(r.bytes), &g_allocator,
                                    true);
    } else if (entry.kind == Entry::kCopy) {
      count_operation();
      copy_bytes(tensor(std::get<Operand>(entry.arguments[0])), tensor(std::get<Operand>(entry.arguments[1])));
    } else {
      stack.clear();
      for (const Argument& a : entry.arguments) stack.push_back(value(a));
      Call(*entry.op, &stack).run();
      bind(entry, stack);
    }
    for (int slot : entry.last_uses) slots_[slot].storage = c10::Storage();
  }
}

}  // namespace emulated
