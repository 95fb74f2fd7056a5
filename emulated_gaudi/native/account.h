// The memory account of the one device that this process owns: every byte of "hpu" storage is counted here, held
// against the pretended size, and published (eight bytes in a shared file) so that hl-smi and pyhlml can report it.
#pragma once

#include <c10/util/Exception.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <sstream>
#include <string>

namespace emulated {

struct Account {
  std::atomic<int64_t> limit{int64_t{96} << 30};
  std::atomic<int64_t> in_use{0}, peak{0}, allocations{0}, frees{0}, largest{0};
  std::atomic<int64_t> total_allocations{0}, total_frees{0};  // never cleared
  std::atomic<int64_t>* published = nullptr;
  int rank = 0;

  // The bridge's words: PT_DEVMEM_FATAL in backend/synapse_helpers/device_memory.cpp, through Logger::habana_assert.
  [[noreturn]] void out_of_memory(int64_t bytes) const {
    std::ostringstream megabytes;
    megabytes << static_cast<double>(bytes) / (1024 * 1024.);
    TORCH_CHECK(false, "[Rank:", rank, "] FATAL ERROR :: MODULE:PT_DEVMEM Allocation failed for size::", bytes, " (",
                megabytes.str(), ")MB");
  }

  void add(int64_t bytes) {
    const int64_t now = (in_use += bytes);
    if (now > limit) {
      in_use -= bytes;
      out_of_memory(bytes);
    }
    ++allocations;
    ++total_allocations;
    raise_to(peak, now);
    raise_to(largest, bytes);
    if (published) published->store(now, std::memory_order_relaxed);
  }

  void remove(int64_t bytes) noexcept {
    const int64_t now = (in_use -= bytes);
    ++frees;
    ++total_frees;
    if (published) published->store(now, std::memory_order_relaxed);
  }

  void publish(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT, 0600);
    TORCH_CHECK(fd >= 0 && ::ftruncate(fd, 8) == 0, "emulated Gaudi: cannot write ", path);
    void* page = ::mmap(nullptr, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ::close(fd);
    TORCH_CHECK(page != MAP_FAILED, "emulated Gaudi: cannot map ", path);
    published = static_cast<std::atomic<int64_t>*>(page);
    published->store(in_use, std::memory_order_relaxed);
  }

 private:
  static void raise_to(std::atomic<int64_t>& mark, int64_t value) {
    int64_t seen = mark.load();
    while (value > seen && !mark.compare_exchange_weak(seen, value)) {
    }
  }
};

inline Account g_account;

}  // namespace emulated
