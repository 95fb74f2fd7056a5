// torch's device "hpu" on host memory: allocator, device guard, hooks. One process owns one device, as on a Gaudi;
// its index is set once, before the first tensor.
#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/Tensor.h>
#include <ATen/detail/HPUHooksInterface.h>
#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/alloc_cpu.h>

#include <mutex>

#include "clockwork.h"

namespace emulated {

constexpr c10::DeviceType kHPU = c10::DeviceType::HPU;
inline int64_t g_device_count = 1;
inline c10::DeviceIndex g_index = 0;
inline c10::Device own_device() { return c10::Device(kHPU, g_index); }
inline void check_device(std::optional<c10::Device> device) {
  if (device && device->has_index() && device->index() >= g_device_count)
    TORCH_CHECK(false, "Device index ", static_cast<int>(device->index()), " is out of range: the emulated Gaudi has ",
                g_device_count, " devices");
}

struct Block {
  void* bytes;
  int64_t size;
};
inline void free_block(void* context) {
  auto* block = static_cast<Block*>(context);
  c10::free_cpu(block->bytes);
  g_account.remove(block->size);
  delete block;
}

struct HpuAllocator final : c10::Allocator {
  c10::DataPtr allocate(size_t size) override {
    if (size == 0) return {nullptr, nullptr, &c10::detail::deleteNothing, own_device()};
    g_account.add(static_cast<int64_t>(size));
    void* bytes = nullptr;
    try {
      bytes = c10::alloc_cpu(size);
    } catch (...) {
      g_account.remove(static_cast<int64_t>(size));
      throw;
    }
    return {bytes, new Block{bytes, static_cast<int64_t>(size)}, &free_block, own_device()};
  }
  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void* to, const void* from, std::size_t size) const override { default_copy_data(to, from, size); }
};
inline HpuAllocator g_allocator;

// A storage of the device over the output of a CPU kernel: the bytes stay where the kernel put them.
struct Adopted {
  c10::Storage cpu;
  int64_t size;
};
inline void free_adopted(void* context) {
  auto* adopted = static_cast<Adopted*>(context);
  g_account.remove(adopted->size);
  delete adopted;
}
inline c10::Storage adopt(const c10::Storage& cpu) {
  const auto size = static_cast<int64_t>(cpu.nbytes());
  g_account.add(size);
  void* bytes = const_cast<void*>(cpu.data());
  return c10::Storage(c10::Storage::use_byte_size_t(), size,
                      c10::DataPtr(bytes, new Adopted{cpu, size}, &free_adopted, own_device()), &g_allocator, true);
}

// Memory of the host that was pinned for the device: plain memory whose addresses are known.
struct PinnedAllocator final : c10::Allocator {
  c10::DataPtr allocate(size_t size) override {
    void* bytes = size ? c10::alloc_cpu(size) : nullptr;
    const std::lock_guard<std::mutex> lock(mutex_);
    if (bytes) blocks_[bytes] = size;
    return {bytes, bytes, &free_pinned, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free_pinned; }
  void copy_data(void* to, const void* from, std::size_t size) const override { default_copy_data(to, from, size); }
  bool holds(const void* data) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    auto after = blocks_.upper_bound(const_cast<void*>(data));
    if (after == blocks_.begin()) return false;
    --after;
    return static_cast<const char*>(data) < static_cast<const char*>(after->first) + after->second;
  }
  void forget(void* bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    blocks_.erase(bytes);
  }

 private:
  static void free_pinned(void* bytes);
  mutable std::mutex mutex_;
  std::map<void*, size_t> blocks_;
};
inline PinnedAllocator& pinned() {  // never destroyed: tensors may outlive the end of the program
  static auto* allocator = new PinnedAllocator;
  return *allocator;
}
inline void PinnedAllocator::free_pinned(void* bytes) {
  if (!bytes) return;
  pinned().forget(bytes);
  c10::free_cpu(bytes);
}

struct HpuGuard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return kHPU; }
  c10::Device exchangeDevice(c10::Device device) const override {
    check_device(device);
    return own_device();
  }
  c10::Device getDevice() const override { return own_device(); }
  void setDevice(c10::Device device) const override { check_device(device); }
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device) const override { return c10::Stream(c10::Stream::DEFAULT, own_device()); }
  c10::Stream getDefaultStream(c10::Device d) const override { return getStream(d); }
  c10::Stream getStreamFromGlobalPool(c10::Device d, bool) const override { return getStream(d); }
  c10::Stream getNewStream(c10::Device d, int) const override { return getStream(d); }
  c10::Stream exchangeStream(c10::Stream) const override { return getStream(own_device()); }
  // The device is never behind the host: an event has happened as soon as it is recorded.
  void record(void** event, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const override {
    *event = reinterpret_cast<void*>(1);
  }
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void synchronizeEvent(void*) const override { synchronise(); }
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override { synchronise(); }
  void synchronizeDevice(const c10::DeviceIndex) const override { synchronise(); }
  c10::DeviceIndex deviceCount() const noexcept override { return static_cast<c10::DeviceIndex>(g_device_count); }
};

}  // namespace emulated

namespace at {
struct HPUHooks final : at::HPUHooksInterface {
  HPUHooks() = default;
  explicit HPUHooks(at::HPUHooksArgs) {}
  void init() const override {}
  bool hasHPU() const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return emulated::g_device_count > 0; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return static_cast<c10::DeviceIndex>(emulated::g_device_count); }
  c10::DeviceIndex getCurrentDevice() const override { return emulated::g_index; }
  void setCurrentDevice(c10::DeviceIndex index) const override {
    emulated::check_device(c10::Device(emulated::kHPU, index));
  }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex index) const override {
    setCurrentDevice(index);
    return emulated::g_index;
  }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex) const override { return emulated::g_index; }
  at::Generator getNewGenerator(c10::DeviceIndex) const override { return at::detail::createCPUGenerator(); }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override {
    return at::detail::getDefaultCPUGenerator();
  }
  c10::Allocator* getPinnedMemoryAllocator() const override { return &emulated::pinned(); }
  bool isPinnedPtr(const void* data) const override { return emulated::pinned().holds(data); }
};
REGISTER_HPU_HOOKS(HPUHooks);
}  // namespace at

namespace emulated {
REGISTER_ALLOCATOR(c10::DeviceType::HPU, &g_allocator);
C10_REGISTER_GUARD_IMPL(HPU, HpuGuard);
}  // namespace emulated
