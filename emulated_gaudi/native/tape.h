// HPU graphs: what the device is asked to do between capture_begin and capture_end is written on a tape; a replay
// runs the tape, and nothing of the Python code that led to it.
//
// The tape knows storages, not tensors: an operand is a storage plus type, sizes, strides and offset, so that views
// need no entry of their own, whoever made them. A storage is one of
//   external   it was there before (parameters, inputs): read and written in place, kept alive by the tape;
//   pinned     made under capture and still alive at its end (outputs): every replay writes to the same bytes;
//   transient  made under capture and gone at its end: made anew by every replay, gone after it.
// Values that came from the host (copies, scalars, results of item()) are those of the capture, for good.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>
#include <torch/csrc/distributed/c10d/Work.hpp>

#include <cstring>
#include <memory>
#include <unordered_map>
#include <variant>

#include "device.h"

namespace emulated {

using c10::IValue;

inline at::Tensor tensor_over(c10::Storage storage, c10::DispatchKey key, const caffe2::TypeMeta& type,
                              c10::IntArrayRef sizes, c10::IntArrayRef strides, int64_t offset, bool conj, bool neg) {
  auto tensor = at::detail::make_tensor<c10::TensorImpl>(std::move(storage), c10::DispatchKeySet(key), type);
  tensor.unsafeGetTensorImpl()->set_sizes_and_strides(sizes, strides, offset);
  if (conj) tensor._set_conj(true);
  if (neg) tensor._set_neg(true);
  return tensor;
}

struct Operand {
  int slot = -1;       // -1: a tensor of the host, kept in `fixed`
  at::Tensor fixed;    // external and pinned operands are made once; undefined stands for itself
  caffe2::TypeMeta type;
  c10::DimVector sizes, strides;
  int64_t offset = 0;
  bool conj = false, neg = false;
};
using OptionalOperands = std::vector<std::optional<Operand>>;
struct TensorList { std::vector<Operand> items; };
struct OptionalTensorList { OptionalOperands items; };
struct NestedTensorList { std::vector<std::vector<Operand>> items; };
using Argument = std::variant<IValue, Operand, TensorList, OptionalTensorList, NestedTensorList>;

struct Result {  // a storage that an operation makes: which of its returned tensors carries it
  size_t position, item;
  int slot;
  size_t bytes;
  c10::DimVector sizes;
};
struct Entry {
  enum Kind { kOperation, kAllocation, kCopy } kind;
  std::optional<c10::OperatorHandle> op;
  std::vector<Argument> arguments;  // kCopy: source, destination
  std::vector<Result> results;      // kAllocation: one
  std::vector<int> last_uses;       // transient slots that nobody needs after this entry
};

struct Slot {
  std::optional<c10::weak_intrusive_ptr<c10::StorageImpl>> weak;  // while capturing: keeps the address from reuse
  c10::Storage storage;                                           // external and pinned; transient: during a replay
  bool made = false, transient = false;
};

class Tape {
 public:
  // ---- capture
  int slot_of(const c10::Storage& storage) {
    auto* key = storage.unsafeGetStorageImpl();
    if (auto found = index_.find(key); found != index_.end()) return found->second;
    Slot slot;
    slot.weak = storage.getWeakStorageImpl();
    slot.storage = storage;
    return add(key, std::move(slot));
  }
  // The slot of a storage that this entry has made; -1 if it was known before.
  int made_slot(const c10::Storage& storage) {
    auto* key = storage.unsafeGetStorageImpl();
    if (index_.count(key)) return -1;
    Slot slot;
    slot.weak = storage.getWeakStorageImpl();
    slot.made = true;
    return add(key, std::move(slot));
  }
  Operand operand(const at::Tensor& tensor) {
    Operand o;
    if (!tensor.defined()) return o;
    if (tensor.device().type() != kHPU) {
      o.fixed = tensor.device().is_cpu() ? tensor.clone() : tensor;
      if (tensor.unsafeGetTensorImpl()->is_wrapped_number()) o.fixed.unsafeGetTensorImpl()->set_wrapped_number(true);
      return o;
    }
    o.slot = slot_of(tensor.storage());
    o.type = tensor.dtype();
    o.sizes = c10::DimVector(tensor.sizes());
    o.strides = c10::DimVector(tensor.strides());
    o.offset = tensor.storage_offset();
    o.conj = tensor.is_conj();
    o.neg = tensor.is_neg();
    return o;
  }
  Argument argument(const IValue& value) {
    if (value.isTensor()) return operand(value.toTensor());
    if (value.isTensorList()) {
      TensorList list;
      for (const at::Tensor& t : value.toTensorVector()) list.items.push_back(operand(t));
      return list;
    }
    if (value.isOptionalTensorList()) {
      OptionalTensorList list;
      for (const std::optional<at::Tensor>& t : value.toOptionalTensorVector())
        list.items.push_back(t ? std::optional<Operand>(operand(*t)) : std::nullopt);
      return list;
    }
    if (value.isList() && !value.toListRef().empty() && value.toListRef()[0].isTensorList()) {
      NestedTensorList list;
      for (const IValue& inner : value.toListRef()) {
        auto& items = list.items.emplace_back();
        for (const at::Tensor& t : inner.toTensorVector()) items.push_back(operand(t));
      }
      return list;
    }
    return value;
  }
  void allocation(const c10::Storage& storage) {
    const int slot = made_slot(storage);
    if (slot >= 0) entries.push_back({Entry::kAllocation, std::nullopt, {}, {{0, 0, slot, storage.nbytes(), {}}}, {}});
  }
  // A storage that changes its size under capture must stay where it is.
  void pin(const c10::Storage& storage) {
    Slot& slot = slots_[slot_of(storage)];
    slot.storage = storage;
  }
  void finish();

  // ---- replay
  void replay();
  size_t operations() const { return entries.size(); }
  std::vector<Entry> entries;

 private:
  int add(c10::StorageImpl* key, Slot slot) {
    slots_.push_back(std::move(slot));
    return index_[key] = static_cast<int>(slots_.size()) - 1;
  }
  template <typename Function>
  static void for_each_operand(Entry& entry, Function&& function) {
    for (Argument& a : entry.arguments) {
      if (auto* o = std::get_if<Operand>(&a)) function(*o);
      if (auto* l = std::get_if<TensorList>(&a)) for (auto& o : l->items) function(o);
      if (auto* l = std::get_if<OptionalTensorList>(&a)) for (auto& o : l->items) if (o) function(*o);
      if (auto* l = std::get_if<NestedTensorList>(&a)) for (auto& i : l->items) for (auto& o : i) function(o);
    }
  }
  at::Tensor make(const Operand& o) const {
    return tensor_over(slots_[o.slot].storage, c10::DispatchKey::HPU, o.type, o.sizes, o.strides, o.offset, o.conj,
                       o.neg);
  }
  at::Tensor tensor(const Operand& o) const { return o.slot < 0 || o.fixed.defined() ? o.fixed : make(o); }
  IValue value(const Argument& argument) const;
  void bind(const Entry& entry, const torch::jit::Stack& returned);

  std::vector<Slot> slots_;
  std::unordered_map<c10::StorageImpl*, int> index_;
};

inline void Tape::finish() {
  for (Slot& slot : slots_) {
    if (slot.storage.unsafeGetStorageImpl() == nullptr) {
      auto alive = slot.weak->lock();
      slot.transient = !alive;
      if (alive) slot.storage = c10::Storage(std::move(alive));
    }
    slot.weak.reset();
  }
  index_.clear();
  std::vector<int> last(slots_.size(), -1);
  for (size_t i = 0; i < entries.size(); i++) {
    for_each_operand(entries[i], [&](Operand& o) {
      if (o.slot < 0) return;
      if (slots_[o.slot].transient) last[o.slot] = static_cast<int>(i);
      else o.fixed = make(o);
    });
    for (const Result& r : entries[i].results)
      if (slots_[r.slot].transient) last[r.slot] = static_cast<int>(i);
  }
  for (size_t s = 0; s < slots_.size(); s++)
    if (last[s] >= 0) entries[last[s]].last_uses.push_back(static_cast<int>(s));
}

inline IValue Tape::value(const Argument& argument) const {
  if (auto* v = std::get_if<IValue>(&argument)) return *v;
  if (auto* o = std::get_if<Operand>(&argument)) return tensor(*o);
  if (auto* l = std::get_if<TensorList>(&argument)) {
    c10::List<at::Tensor> list;
    for (const Operand& o : l->items) list.push_back(tensor(o));
    return list;
  }
  if (auto* l = std::get_if<OptionalTensorList>(&argument)) {
    c10::List<std::optional<at::Tensor>> list;
    for (const auto& o : l->items) list.push_back(o ? std::optional<at::Tensor>(tensor(*o)) : std::nullopt);
    return list;
  }
  c10::List<c10::List<at::Tensor>> list;
  for (const auto& inner : std::get<NestedTensorList>(argument).items) {
    c10::List<at::Tensor> items;
    for (const Operand& o : inner) items.push_back(tensor(o));
    list.push_back(items);
  }
  return list;
}

inline void Tape::bind(const Entry& entry, const torch::jit::Stack& returned) {
  for (const Result& r : entry.results) {
    const IValue& v = returned[r.position];
    const at::Tensor made = v.isTensor() ? v.toTensor() : v.toTensorVector()[r.item];
    TORCH_CHECK(made.sizes() == c10::IntArrayRef(r.sizes) && made.storage().nbytes() == r.bytes,
                "emulated Gaudi: ", entry.op->schema().name(), " returned another shape in a replay than under capture ",
                "(", made.sizes(), ", was ", c10::IntArrayRef(r.sizes), "): an HPU graph needs static shapes");
    Slot& slot = slots_[r.slot];
    if (slot.transient) slot.storage = made.storage();
    else if (r.bytes) std::memcpy(slot.storage.mutable_data(), made.storage().data(), r.bytes);
  }
  for (const IValue& v : returned)  // a collective: on a Gaudi the graph waits, here the replay does
    if (v.isCustomClass()) v.toCustomClass<c10d::Work>()->wait();
}

}  // namespace emulated
