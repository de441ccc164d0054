// The filter of system calls: what the running daemon, the engines' libraries, the Swift runtime and the C library call
// once everything is set up, and nothing else. docs/security.md says the same for people.
//
// A call is allowed as it is, or with conditions on its arguments. The kernel keeps a bitmap of the former (5.11 and
// later), so that the data path's calls cost a lookup.
#define _GNU_SOURCE
#include "CLinuxShims.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "add the architecture's audit number"
#endif

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif
#ifndef F_ADD_SEALS
#define F_ADD_SEALS 1033
#endif
#ifndef F_GET_SEALS
#define F_GET_SEALS 1034
#endif

static const int plain_calls[] = {
    // The data path: io_uring, the eventfds of kicks and calls, the kernel's operation sockets.
    SYS_io_uring_enter, SYS_io_uring_setup, SYS_io_uring_register, SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64,
    SYS_preadv2, SYS_ppoll, SYS_eventfd2,
    // Connections: front-ends, readers of statistics, the service manager, operation sockets. What may be a socket is
    // decided below.
    SYS_accept, SYS_accept4, SYS_bind, SYS_connect, SYS_getpeername, SYS_getsockname, SYS_getsockopt, SYS_listen,
    SYS_recvfrom, SYS_recvmsg, SYS_sendmsg, SYS_sendto, SYS_shutdown,
    // Descriptors, and the loops that wait for them.
    SYS_close, SYS_dup, SYS_dup3, SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait, SYS_lseek, SYS_pipe2, SYS_pselect6,
    SYS_signalfd4, SYS_timerfd_create, SYS_timerfd_gettime, SYS_timerfd_settime,
    // Looking at files, and removing the sockets at the end.
    SYS_faccessat, SYS_faccessat2, SYS_fstat, SYS_fstatfs, SYS_getcwd, SYS_getdents64, SYS_newfstatat, SYS_readlinkat,
    SYS_statfs, SYS_statx, SYS_unlinkat,
    // Memory. What may be mapped is decided below.
    SYS_brk, SYS_madvise, SYS_membarrier, SYS_mlock, SYS_mlock2, SYS_mremap, SYS_munlock, SYS_munmap,
    // Memory that outlives us: the record of requests in flight, which the front-end keeps.
    SYS_memfd_create, SYS_ftruncate,
    // Threads and time. What may be started is decided below.
    SYS_clock_getres, SYS_clock_gettime, SYS_clock_nanosleep, SYS_exit, SYS_exit_group, SYS_futex, SYS_getcpu,
    SYS_getpriority, SYS_getrusage, SYS_get_robust_list, SYS_gettid, SYS_gettimeofday, SYS_nanosleep, SYS_restart_syscall,
    SYS_rseq, SYS_sched_getaffinity, SYS_sched_getparam, SYS_sched_getscheduler, SYS_sched_get_priority_max,
    SYS_sched_get_priority_min, SYS_sched_setaffinity, SYS_sched_yield, SYS_set_robust_list, SYS_set_tid_address,
    SYS_setpriority, SYS_sysinfo, SYS_times, SYS_uname,
    // Signals, to be received.
    SYS_rt_sigaction, SYS_rt_sigpending, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_rt_sigsuspend, SYS_rt_sigtimedwait,
    SYS_sigaltstack,
    // Who we are, and random numbers.
    SYS_getegid, SYS_geteuid, SYS_getgid, SYS_getgroups, SYS_getpgid, SYS_getpid, SYS_getppid, SYS_getrandom,
    SYS_getresgid, SYS_getresuid, SYS_getsid, SYS_getuid, SYS_umask,
#if defined(__x86_64__)
    // What newer architectures have only in the forms above.
    SYS_access, SYS_arch_prctl, SYS_dup2, SYS_epoll_create, SYS_epoll_wait, SYS_eventfd, SYS_getdents, SYS_lstat, SYS_pipe,
    SYS_poll, SYS_readlink, SYS_select, SYS_stat, SYS_time, SYS_unlink,
#endif
};

// One condition: the argument, under the mask, is one of the values.
enum { most_values = 12 };
struct condition {
  unsigned argument;
  uint32_t mask;
  unsigned count;
  uint32_t values[most_values];
};

struct guarded_call {
  int number;
  struct condition conditions[2];
};

static const struct guarded_call guarded_calls[] = {
    // No network: guests, readers and the kernel's crypto.
    {SYS_socket, {{0, ~0u, 2, {AF_UNIX, AF_ALG}}}},
    {SYS_socketpair, {{0, ~0u, 1, {AF_UNIX}}}},
    {SYS_setsockopt, {{1, ~0u, 2, {SOL_SOCKET, SOL_ALG}}}},
    // Threads, and never a process; no namespaces.
    {SYS_clone,
     {{0, CLONE_THREAD | CLONE_VM | CLONE_SIGHAND | CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
              CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_PTRACE,
       1, {CLONE_THREAD | CLONE_VM | CLONE_SIGHAND}}}},
    // Nothing that can be executed comes to be. (All engines and their libraries are loaded by now.)
    {SYS_mmap, {{2, PROT_EXEC, 1, {0}}}},
    {SYS_mprotect, {{2, PROT_EXEC, 1, {0}}}},
    // Files are read.
    {SYS_openat, {{2, O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND, 1, {O_RDONLY}}}},
#if defined(__x86_64__)
    {SYS_open, {{1, O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND, 1, {O_RDONLY}}}},
#endif
    // Pages of a file in memory go back to the system; nothing is written.
    {SYS_fallocate, {{1, ~0u, 1, {FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE}}}},
    {SYS_fcntl,
     {{1, ~0u, 9,
       {F_GETFL, F_SETFL, F_GETFD, F_SETFD, F_DUPFD, F_DUPFD_CLOEXEC, F_GET_SEALS, F_ADD_SEALS, F_GETLK}}}},
    // Is it a terminal, how wide; how much is there to read; non-blocking.
    {SYS_ioctl, {{1, ~0u, 4, {TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO}}}},
    {SYS_prctl, {{0, ~0u, 4, {PR_SET_NAME, PR_GET_NAME, PR_SET_VMA, PR_GET_DUMPABLE}}}},
    // Own limits are read, not set (a null pointer; its upper half is a condition, too).
    {SYS_prlimit64, {{0, ~0u, 1, {0}}, {2, ~0u, 1, {0}}}},
};

enum { most_instructions = 768 };

struct builder {
  struct sock_filter instructions[most_instructions];
  unsigned count;
  uint32_t violation;
};

static void add(struct builder *builder, struct sock_filter instruction) {
  if (builder->count < most_instructions) builder->instructions[builder->count] = instruction;
  builder->count++;
}

static void load(struct builder *builder, size_t offset) {
  add(builder, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

static void give(struct builder *builder, uint32_t action) {
  add(builder, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

// Goes on behind the next `skipped` instructions unless the loaded word equals the value.
static void unless_equal_skip(struct builder *builder, uint32_t value, unsigned skipped) {
  add(builder, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, (uint8_t)skipped));
}

static size_t argument_offset(unsigned argument, bool upper_half) {
  // Both architectures are little-endian.
  return offsetof(struct seccomp_data, args) + 8 * argument + (upper_half ? 4 : 0);
}

// Returns the violation where the argument is none of the values; falls through where it is.
static void require(struct builder *builder, const struct condition *condition) {
  load(builder, argument_offset(condition->argument, false));
  if (condition->mask != ~0u)
    add(builder, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, condition->mask));
  for (unsigned index = 0; index < condition->count; index++) {
    // Over the remaining comparisons and the return.
    uint8_t rest = (uint8_t)(condition->count - index);
    add(builder, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, condition->values[index], rest, 0));
  }
  give(builder, builder->violation);
}

static void guard(struct builder *builder, const struct guarded_call *call) {
  unless_equal_skip(builder, (uint32_t)call->number, 0);
  unsigned jump = builder->count - 1;
  for (size_t index = 0; index < sizeof call->conditions / sizeof call->conditions[0]; index++) {
    const struct condition *condition = &call->conditions[index];
    if (condition->count == 0) continue;
    require(builder, condition);
    if (call->number == SYS_prlimit64 && condition->argument == 2) {
      load(builder, argument_offset(2, true));
      add(builder, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0));
      give(builder, builder->violation);
    }
  }
  give(builder, SECCOMP_RET_ALLOW);
  if (jump < most_instructions) builder->instructions[jump].jf = (uint8_t)(builder->count - 1 - jump);
}

static int build(struct builder *builder, bool kills) {
  builder->count = 0;
  builder->violation = kills ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_LOG;
  load(builder, offsetof(struct seccomp_data, arch));
  add(builder, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0));
  give(builder, builder->violation);
  // Numbers of the x32 ABI, which share x86-64's audit number, are in no list.
  load(builder, offsetof(struct seccomp_data, nr));
  for (size_t index = 0; index < sizeof plain_calls / sizeof plain_calls[0]; index++) {
    unless_equal_skip(builder, (uint32_t)plain_calls[index], 1);
    give(builder, SECCOMP_RET_ALLOW);
  }
  for (size_t index = 0; index < sizeof guarded_calls / sizeof guarded_calls[0]; index++)
    guard(builder, &guarded_calls[index]);
  // The C library, told that there is none, takes clone, whose flags a filter can see.
  unless_equal_skip(builder, SYS_clone3, 1);
  give(builder, SECCOMP_RET_ERRNO | ENOSYS);
  // Signals to this process: abort, and threads that wake each other.
  struct guarded_call own_signal = {SYS_tgkill, {{0, ~0u, 1, {(uint32_t)getpid()}}}};
  guard(builder, &own_signal);
  give(builder, builder->violation);
  return builder->count <= most_instructions ? 0 : -E2BIG;
}

int clinux_filter_syscalls(int kills) {
  struct builder builder;
  int result = build(&builder, kills);
  if (result < 0) return result;
  struct sock_fprog program = {.len = (unsigned short)builder.count, .filter = builder.instructions};
  // All threads, and with no mitigation of speculation beyond what the process had: no code of guests runs in it.
  unsigned long flags = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW;
  long installed = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
  if (installed < 0) return -errno;
  // A thread that could not follow.
  return installed > 0 ? -EBUSY : 0;
}
