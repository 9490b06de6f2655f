// Loops of the kernels, shared out over the threads of one pool.
//
// The framework may call several kernels at once, from threads of its own. Each caller works on its own loop; the pool's threads help while
// no more are busy than `use_threads` says, otherwise one on each processor of the process's affinity mask. How a loop is divided depends on its
// size alone, and so do the results of the kernels, to the last bit.
#pragma once
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

class Threads {
 public:
  using Body = std::function<void(int64_t)>;

  static inline int most = 0;  // how many threads there may be, as set before the first loop; 0: no limit but the affinity mask

  // body(0) to body(parts - 1), in any order and on any thread; returns when all are done.
  static void run(int64_t parts, const Body &body) {
    static Threads *pool = new Threads;  // never deleted: its threads wait until the process ends
    if (parts == 1 || pool->size_ == 1) {
      for (int64_t part = 0; part < parts; ++part) body(part);
    } else if (parts > 0) {
      pool->share(parts, body);
    }
  }

 private:
  struct Loop {
    const Body &body;
    const int64_t parts;
    int64_t next = 0, running = 0;
    std::condition_variable finished;
  };

  Threads() {
    CPU_ZERO(&processors_);
    if (sched_getaffinity(getpid(), sizeof processors_, &processors_) == 0) size_ = CPU_COUNT(&processors_);
    if (most > 0) size_ = std::min(size_, most);
    try {
      for (int number = 1; number < size_; ++number) std::thread([this] { serve(); }).detach();
    } catch (const std::system_error &) {  // no more threads: those that there are share the work
    }
  }

  void share(int64_t parts, const Body &body) {
    Loop loop{body, parts};
    std::unique_lock<std::mutex> lock(mutex_);
    ++busy_;
    loops_.push_back(&loop);
    for (int64_t helper = std::min<int64_t>(parts - 1, size_ - busy_); helper > 0; --helper) wake_.notify_one();
    while (loop.next < parts) run_next(&loop, &lock);
    leave();
    loop.finished.wait(lock, [&loop] { return loop.running == 0; });
  }

  // A thread of the pool. It touches a loop only while the lock is held, or while one of the loop's parts is running.
  void serve() {
    pthread_setname_np(pthread_self(), "kernels");
    sched_setaffinity(0, sizeof processors_, &processors_);  // the thread that started this one may be bound to one processor
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return !loops_.empty() && busy_ < size_; });
      ++busy_;
      Loop *loop = loops_.front();
      bool more = true;
      while (more && busy_ <= size_) more = run_next(loop, &lock);
      leave();
    }
  }

  // Run a part of a loop that has one left; returns whether another is left.
  bool run_next(Loop *loop, std::unique_lock<std::mutex> *lock) {
    const int64_t part = loop->next++;
    if (loop->next == loop->parts) loops_.remove(loop);
    ++loop->running;
    lock->unlock();
    loop->body(part);
    lock->lock();
    const bool more = loop->next < loop->parts;
    if (--loop->running == 0 && !more) loop->finished.notify_one();
    return more;
  }

  void leave() {
    --busy_;
    if (!loops_.empty()) wake_.notify_one();
  }

  cpu_set_t processors_;
  int size_ = 1;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::list<Loop *> loops_;  // those with parts that no thread has begun
  int busy_ = 0;             // threads that run parts, callers included
};

// body(begin, end) for pieces of 0 to rows, each of about `kWork` values; `size` is the number of values of a row.
template <typename Body>
void for_rows(int64_t rows, int64_t size, const Body &body) {
  constexpr int64_t kWork = 1 << 15;
  const int64_t step = std::max<int64_t>(1, kWork / std::max<int64_t>(1, size));
  Threads::run((rows + step - 1) / step, [&](int64_t part) {
    const Body own = body;  // a copy of what it captures: the compiler sees that no result is written over it
    own(part * step, std::min(rows, (part + 1) * step));
  });
}

// Sums over rows: of a block of rows in float32, by one thread; of the blocks in float64.
struct ColumnSums {
  static constexpr int64_t kBlock = 64;
  const int64_t rows, size, blocks;
  std::vector<float> parts;

  ColumnSums(int64_t rows, int64_t size) : rows(rows), size(size), blocks((rows + kBlock - 1) / kBlock), parts(blocks * size, 0.0f) {}

  int64_t begin(int64_t block) const { return std::min(rows, block * kBlock); }

  float *part(int64_t block) { return &parts[block * size]; }

  void write(float *sums) const {
    std::vector<double> total(size, 0.0);
    for (int64_t block = 0; block < blocks; ++block) {
      for (int64_t i = 0; i < size; ++i) total[i] += parts[block * size + i];
    }
    for (int64_t i = 0; i < size; ++i) sums[i] = static_cast<float>(total[i]);
  }
};
