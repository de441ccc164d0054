// Mappings of other people's files, which they may truncate while we use them: touching what is not there any more is a
// SIGBUS, on whatever thread, inside whatever library. The handler puts zeros of our own in the mapping's place, notes
// that it is lost, and lets the thread go on; whoever owns the mapping looks at the note and stops using it.
//
// The handler takes no lock, calls nothing but system calls, and reads a table of fixed size. Why that is enough: a
// mapping is in the table from before its first use to after its last, so the entry of the mapping that faulted cannot
// change while the handler looks for it. Other entries can, which is what their sequence numbers are for.
#define _GNU_SOURCE
#include "CLinuxShims.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

// A device has at most 509 regions. The kernel gives a process 65530 mappings unless told otherwise.
enum { entry_count = 16384 };

enum state { whole, being_replaced, replaced, replaced_in_part };

struct entry {
  // Odd: in the table. Changes with each coming and going, so that a torn look is noticed.
  _Atomic uint32_t sequence;
  _Atomic uint32_t state;
  _Atomic uintptr_t start;
  _Atomic uintptr_t end;
  // Somebody has the entry, in the table or about to be.
  atomic_flag taken;
};

static struct entry entries[entry_count];
// Entries from here on have never been in the table.
static _Atomic int entry_limit;

uint64_t clinux_lost_count_value;

static struct sigaction former_action;

// ThreadSanitizer's own accesses to atomics fault where ours would, with a lock held that its atomics in the handler
// would wait for; nothing less than this keeps it from them.
#define IN_HANDLER __attribute__((disable_sanitizer_instrumentation))

// Async-signal-safe, unlike what sanitizers put in mmap's place.
IN_HANDLER static bool replace(uintptr_t start, size_t count) {
  long address = syscall(SYS_mmap, start, count, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0L);
  if ((uintptr_t)address != start) return false;
  // It was no part of a core dump before.
  (void)syscall(SYS_madvise, start, count, MADV_DONTDUMP);
  return true;
}

IN_HANDLER static struct entry *find(uintptr_t address) {
  int limit = atomic_load_explicit(&entry_limit, memory_order_acquire);
  for (int index = 0; index < limit; index++) {
    struct entry *entry = &entries[index];
    uint32_t sequence = atomic_load_explicit(&entry->sequence, memory_order_acquire);
    if (!(sequence & 1)) continue;
    uintptr_t start = atomic_load_explicit(&entry->start, memory_order_relaxed);
    uintptr_t end = atomic_load_explicit(&entry->end, memory_order_relaxed);
    // Keeps the look at both ends before the second look at the sequence.
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&entry->sequence, memory_order_relaxed) != sequence) continue;
    if (address >= start && address < end) return entry;
  }
  return NULL;
}

// Whether the thread can go on where it was.
IN_HANDLER static bool recover(uintptr_t address, int code) {
  struct entry *entry = find(address);
  if (!entry) return false;
  uint32_t state = whole;
  if (!atomic_compare_exchange_strong(&entry->state, &state, being_replaced)) {
    // Another thread was faster: a second try succeeds, now or soon. Memory that breaks under the zeros is a host's fault.
    if (state == being_replaced || (state == replaced && code == BUS_ADRERR)) return true;
    if (state == replaced) return false;
    uintptr_t page = (uintptr_t)getpagesize();
    return replace(address & ~(page - 1), page);
  }
  uintptr_t start = atomic_load_explicit(&entry->start, memory_order_relaxed);
  uintptr_t end = atomic_load_explicit(&entry->end, memory_order_relaxed);
  // All of it: a long copy must not come here for each page, and nothing of a stopped device is to reach its guest.
  if (replace(start, end - start)) {
    atomic_store_explicit(&entry->state, replaced, memory_order_release);
  } else {
    // Strict accounting of memory may refuse so much.
    uintptr_t page = (uintptr_t)getpagesize();
    if (!replace(address & ~(page - 1), page)) return false;
    atomic_store_explicit(&entry->state, replaced_in_part, memory_order_release);
  }
  // Keeps the entry's state before the count; pairs with the acquire in clinux_lost_count.
  __atomic_fetch_add(&clinux_lost_count_value, 1, __ATOMIC_RELEASE);
  return true;
}

IN_HANDLER static void handle_bus_error(int number, siginfo_t *information, void *context) {
  (void)context;
  int error = errno;
  // A positive code is the kernel's own: nobody sent it.
  bool is_fault = information->si_code == BUS_ADRERR || information->si_code == BUS_MCEERR_AR;
  if (!is_fault || !recover((uintptr_t)information->si_addr, information->si_code)) {
    // As if we were not here: a fault comes again when the thread goes on, what was sent is sent again.
    sigaction(SIGBUS, &former_action, NULL);
    if (information->si_code <= 0) (void)syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), number);
  }
  errno = error;
}

static void install(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = handle_bus_error;
  // The stack of whoever faults, or his signal stack: Swift's runtime and sanitizers give threads one.
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, &former_action);
}

int clinux_watch_mapping(void *start, size_t count) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  if (pthread_once(&once, install) != 0) return -EAGAIN;
  for (int index = 0; index < entry_count; index++) {
    struct entry *entry = &entries[index];
    if (atomic_flag_test_and_set_explicit(&entry->taken, memory_order_acquire)) continue;
    // What a look at the former mapping might still read is overwritten only behind its even sequence.
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&entry->start, (uintptr_t)start, memory_order_relaxed);
    atomic_store_explicit(&entry->end, (uintptr_t)start + count, memory_order_relaxed);
    atomic_store_explicit(&entry->state, whole, memory_order_relaxed);
    atomic_fetch_add_explicit(&entry->sequence, 1, memory_order_release);
    int limit = atomic_load_explicit(&entry_limit, memory_order_relaxed);
    while (limit <= index && !atomic_compare_exchange_weak_explicit(&entry_limit, &limit, index + 1, memory_order_release,
                                                                    memory_order_relaxed)) {}
    return index;
  }
  return -ENOSPC;
}

void clinux_unwatch_mapping(int index) {
  if (index < 0 || index >= entry_count) return;
  atomic_fetch_add_explicit(&entries[index].sequence, 1, memory_order_acq_rel);
  atomic_flag_clear_explicit(&entries[index].taken, memory_order_release);
}

int clinux_mapping_is_lost(int index) {
  if (index < 0 || index >= entry_count) return 0;
  return atomic_load_explicit(&entries[index].state, memory_order_acquire) != whole;
}
