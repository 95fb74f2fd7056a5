// What the emulation counts, and what is set to go wrong: operations, recipes, slowness and faults.
#pragma once

#include <c10/util/Exception.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

#include "account.h"

namespace emulated {

using Clock = std::chrono::steady_clock;

// The machine's clock, or, for tests, one that only the simulated time of operations advances: then no other load of the
// machine shows in a latency, and nobody waits.
struct DeviceClock {
  bool simulated = false;

  Clock::time_point now() const { return simulated ? now_ : Clock::now(); }
  // Asleep but for the end: other load takes the core from a busy process sooner than from one that wakes.
  void wait(Clock::time_point until) {
    if (simulated) {
      now_ = std::max(now_, until);
      return;
    }
    std::this_thread::sleep_until(until - std::chrono::microseconds(300));
    while (Clock::now() < until) {
    }
  }

 private:
  Clock::time_point now_{};
};
inline DeviceClock g_clock;

// ---------------------------------------------------------------- counters that hpu.metrics reads
struct Counters {
  int64_t operations = 0, captures = 0, replays = 0, replayed_operations = 0;
  std::vector<std::pair<std::string, int64_t>> compilations;  // recipe name, microseconds
  std::map<std::string, int64_t> cache_hits, cache_misses, cpu_fallbacks;
  std::vector<std::pair<bool, int64_t>> defragmentations;  // success, milliseconds
};
inline Counters g_counters;

// ---------------------------------------------------------------- slowness and simulated operation time
// A window reaches from the first operation after a synchronisation to the next synchronisation. It lasts as long as it
// really took, or the simulated time of its operations on the device where that is longer; and at its end the host
// waits for a share of that, so that the share is exact on a machine of any speed. A simulated window begins where the
// window before it ended, not where the host awoke from it: awaking late, on a loaded machine, does not add up. A pause
// without operations longer than kIdle is no work and is not stretched.
struct Slowness {
  double slower = 0, noise = 0;  // shares
  double operation_s = 0;        // seconds that an operation takes on the device
};

struct Window {
  static constexpr std::chrono::milliseconds kIdle{250};
  Slowness with_graphs, eager;
  std::mt19937_64 random{0};

  void operation() {
    ++operations_;
    if (open_) return;
    const auto now = g_clock.now();
    start_ = now - end_ < kIdle ? end_ : now;
    open_ = true;
  }
  void replay() { replayed_ = true; }

  void synchronise() {
    const Slowness& set = replayed_ ? with_graphs : eager;
    auto end = g_clock.now();
    if (open_ && (set.slower > 0 || set.noise > 0 || set.operation_s > 0)) {
      const std::chrono::duration<double> real = end - start_, simulated{operations_ * set.operation_s};
      double share = set.slower;
      if (set.noise > 0) share += set.noise * std::abs(std::normal_distribution<double>()(random));
      const auto until = start_ + std::chrono::duration_cast<Clock::duration>(std::max(real, simulated) * (1 + share));
      g_clock.wait(until);
      end = simulated > real ? until : g_clock.now();
    }
    open_ = replayed_ = false;
    operations_ = 0;
    end_ = end;
  }

 private:
  bool open_ = false, replayed_ = false;
  int64_t operations_ = 0;
  Clock::time_point start_{}, end_{};
};
inline Window g_window;

// ---------------------------------------------------------------- faults that fall due after some operations
enum class Fault { kCrash, kHang, kOutOfMemory, kCompilation, kCpuFallback, kCacheMiss, kDefragmentation };
struct Due {
  Fault fault;
  int64_t at, period, amount;  // in operations; period 0: once
};
inline std::vector<Due> g_due;
inline int64_t g_next_due = std::numeric_limits<int64_t>::max();

inline void set_next_due() {
  g_next_due = std::numeric_limits<int64_t>::max();
  for (const auto& d : g_due) g_next_due = std::min(g_next_due, d.at);
}

inline void compiled(const std::string& recipe, int64_t microseconds) {
  g_counters.compilations.emplace_back(recipe, microseconds);
}

inline void apply_fault(const Due& due) {
  switch (due.fault) {
    case Fault::kCrash:
      std::abort();
    case Fault::kHang:
      for (;;) ::sleep(3600);
    case Fault::kOutOfMemory:
      g_account.out_of_memory(g_account.limit - g_account.in_use + 1);
    case Fault::kCompilation:
      for (int64_t i = 0; i < due.amount; i++) compiled("fault", 1000);
      break;
    case Fault::kCpuFallback:
      g_counters.cpu_fallbacks["fault"] += due.amount;
      break;
    case Fault::kCacheMiss:
      g_counters.cache_misses["fault"] += due.amount;
      break;
    case Fault::kDefragmentation:
      for (int64_t i = 0; i < due.amount; i++) g_counters.defragmentations.emplace_back(true, 1);
      break;
  }
}

inline void apply_due_faults() {
  std::vector<Due> now, later;
  for (auto& d : g_due) {
    if (d.at > g_counters.operations) {
      later.push_back(d);
      continue;
    }
    now.push_back(d);
    if (d.period > 0) later.push_back({d.fault, g_counters.operations + d.period, d.period, d.amount});
  }
  g_due = std::move(later);
  set_next_due();
  for (const auto& d : now) apply_fault(d);
}

// ---------------------------------------------------------------- recipes
// In lazy mode the bridge collects operations until a step marker and compiles each new sequence into a recipe; in
// eager mode every operation is a recipe of its own. A recipe is known by operators, shapes and types. Scalars are not
// part of it here (some are on a Gaudi).
struct Recipes {
  bool lazy = true;
  uint64_t hash = kSeed;
  int64_t operations = 0;

  void mix(uint64_t value) { hash = (hash ^ value) * 0x9E3779B97F4A7C15ull + (hash >> 29); }
  void operation_done() {
    ++operations;
    if (!lazy) step();
  }
  void step() {
    if (operations) {
      const std::string name = "recipe_" + std::to_string(hash);
      if (known_.insert(hash).second) {
        ++g_counters.cache_misses[name];
        compiled(name, 0);
      } else {
        ++g_counters.cache_hits[name];
      }
    }
    forget_step();
  }
  void forget_step() {
    hash = kSeed;
    operations = 0;
  }

 private:
  static constexpr uint64_t kSeed = 1469598103934665603ull;
  std::unordered_set<uint64_t> known_;
};
inline Recipes g_recipes;

// Called for every operation that reaches the device.
inline void count_operation() {
  g_window.operation();
  if (++g_counters.operations >= g_next_due) apply_due_faults();
}

// Where the host waits for the device: hpu.synchronize() and every copy to the host.
inline void synchronise() {
  g_recipes.step();
  g_window.synchronise();
}

}  // namespace emulated
