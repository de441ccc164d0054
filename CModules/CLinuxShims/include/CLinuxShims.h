// What Swift cannot import from Linux: macros, variadic calls and GNU extensions. Each shim is one call; errors are -errno.
#pragma once
#include <stddef.h>
#include <stdint.h>

#define CLINUX_HOT \
  static inline __attribute__((always_inline, swift_attr("@_noAllocation"), swift_attr("@_noLocks")))

#if !defined(__x86_64__) && !defined(__aarch64__)
#include <time.h>
#endif

// A monotonic count that costs a few nanoseconds; LinuxSystem's TickClock says what a tick is worth.
CLINUX_HOT uint64_t clinux_ticks(void) {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
  uint64_t ticks;
  __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
  return ticks;
#else
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
#endif
}

int clinux_eventfd(unsigned count, int nonblocking);
// A descriptor that is readable from so many seconds on.
int clinux_alarm(unsigned seconds);
// Reads an eventfd's count without waiting, whether or not it is non-blocking. -errno.
long clinux_read8_nowait(int fd, uint64_t *value);
int clinux_memfd_create(const char *name, int sealable);
// A file in memory keeps its size from now on, and its seals.
int clinux_seal_size(int fd);
// 1 where a file can neither grow nor shrink, 0 where it can.
int clinux_size_is_sealed(int fd);
// Gives a part of a file in memory back to the system; it reads as zeros.
int clinux_discard(int fd, uint64_t offset, uint64_t count);
// Who made the other end of a Unix socket; the process is 0 where it has no number in this one's namespace.
int clinux_peer(int fd, int *process, unsigned *user);
// Sends no signal. Not where the filter of system calls is.
int clinux_process_exists(int process);
// Whether a file can never get shorter: no access to its mapping raises SIGBUS.
int clinux_cannot_shrink(int fd);
int clinux_accept(int fd);
int clinux_socket_unix(int nonblocking);
int clinux_socketpair_unix(int fds[2]);
int clinux_duplicate(int fd);
int clinux_duplicate_onto(int fd, int other);

// One recvmsg without waiting. `*descriptor_count` is the room in `descriptors` on entry, what came on return;
// `*truncated` is 1 where the peer sent more than there was room for (the kernel closes those).
long clinux_receive(int fd, void *bytes, size_t byte_count, int *descriptors, size_t *descriptor_count, int *truncated,
                    int wait);
// One sendmsg; never raises SIGPIPE.
long clinux_send(int fd, const void *bytes, size_t byte_count, const int *descriptors, size_t descriptor_count, int wait);
// One datagram to a Unix address, whose family `name` follows; never raises SIGPIPE.
long clinux_send_to(int fd, const void *bytes, size_t byte_count, const uint8_t *name, size_t name_count,
                    const int *descriptors, size_t descriptor_count, int wait);

// Nobody but root reads this process's memory, no core file holds it, and no crash report shows it: faults just end it.
int clinux_forbid_dumps(void);
// Wipes the 32 KiB of stack below the caller's frame.
void clinux_wipe_stack(void);
// Called with a lock of the Swift library held, at the beginning and before the end: where threads have waited for it,
// ThreadSanitizer sees no order, because that library is not instrumented. Nothing in ordinary builds.
#ifdef UNDER_THREAD_SANITIZER
void __tsan_acquire(void *place);
void __tsan_release(void *place);
static inline void clinux_lock_is_held(void) { __tsan_acquire((void *)&__tsan_release); }
static inline void clinux_lock_is_given_up(void) { __tsan_release((void *)&__tsan_release); }
#else
static inline void clinux_lock_is_held(void) {}
static inline void clinux_lock_is_given_up(void) {}
#endif

// Gives free memory of the C library's allocator back to the system, from the middle of its heaps as well.
void clinux_trim_heaps(void);
// Lets the calling thread run wherever the process may, although its maker was pinned.
int clinux_unpin_current_thread(void);
int clinux_pin_current_thread(int cpu);
int clinux_name_current_thread(const char *name);

// Allows the calls of the list in SyscallFilter.c to all threads, from now on and for ever; other calls end the process,
// or are only noted in the kernel's log. Needs `clinux_no_new_privileges`. -EBUSY: a thread has a filter of its own.
int clinux_filter_syscalls(int kills);

// Makes all threads somebody else's, with these supplementary groups, and proves that there is no way back.
int clinux_become(unsigned user, unsigned group, const unsigned *groups, size_t count);
// The calling thread: does without a capability.
int clinux_forgo_capability(int capability);
// The calling thread: no program that it starts will have a capability. How many the kernel knows, or -errno.
int clinux_bound_capabilities(void);
// The calling thread: does without all capabilities.
int clinux_drop_capabilities(void);
// Ends the thread that ThreadSanitizer's runtime has for itself; nothing in builds without it.
void clinux_end_sanitizer_threads(void);
int clinux_no_new_privileges(void);
// Takes back that of `clinux_forbid_dumps` which a change of users brings about.
int clinux_permit_dumps(void);
// Changes a socket file's owner and group; -1 for either leaves it. -ENOTSOCK where something else is there.
int clinux_give_socket_file(const char *path, unsigned user, unsigned group);

// Keeps a mapping's pages from the swap once they are touched, if the limit allows it, and out of core dumps.
void clinux_hold_secrets(void *memory, size_t count);
// How many bytes the limit did not allow so far.
uint64_t clinux_unlocked_secrets(void);
// Returns the pages of a mapping to the system, locked ones too; they are zero when they are touched again.
void clinux_give_back(void *memory, size_t count);

// Mappings of files that somebody else may truncate. LostMappings.c has the whole of it.
//
// Watches a mapping: a fault inside it replaces it by zeros instead of ending the process. From before its first use until
// nobody uses it any more, and it must not be unmapped before. A number for the calls below, -ENOSPC where there are too
// many.
int clinux_watch_mapping(void *start, size_t count);
void clinux_unwatch_mapping(int number);
// Whether the mapping was replaced. One load.
__attribute__((swift_attr("@_noAllocation"), swift_attr("@_noLocks"))) int clinux_mapping_is_lost(int number);

extern uint64_t clinux_lost_count_value;
// How many mappings were replaced so far, all owners' together: news for who watches one are a change of this.
CLINUX_HOT uint64_t clinux_lost_count(void) { return __atomic_load_n(&clinux_lost_count_value, __ATOMIC_ACQUIRE); }
