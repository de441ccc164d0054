#define _GNU_SOURCE
#include <malloc.h>
#include "CLinuxShims.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

static int result(int value) { return value < 0 ? -errno : value; }

int clinux_eventfd(unsigned count, int nonblocking) {
  return result(eventfd(count, EFD_CLOEXEC | (nonblocking ? EFD_NONBLOCK : 0)));
}

int clinux_alarm(unsigned seconds) {
  struct itimerspec time = {.it_value = {.tv_sec = seconds}};
  int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  if (fd < 0) return -errno;
  if (timerfd_settime(fd, 0, &time, NULL) == 0) return fd;
  int error = errno;
  close(fd);
  return -error;
}

long clinux_read8_nowait(int fd, uint64_t *value) {
  struct iovec vector = {.iov_base = value, .iov_len = sizeof *value};
  ssize_t count = preadv2(fd, &vector, 1, -1, RWF_NOWAIT);
  return count < 0 ? -errno : count;
}

int clinux_memfd_create(const char *name, int sealable) {
  return result(memfd_create(name, MFD_CLOEXEC | (sealable ? MFD_ALLOW_SEALING : 0)));
}

int clinux_accept(int fd) { return result(accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)); }

int clinux_socket_unix(int nonblocking) {
  return result(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (nonblocking ? SOCK_NONBLOCK : 0), 0));
}

int clinux_socketpair_unix(int fds[2]) { return result(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds)); }

int clinux_duplicate(int fd) { return result(fcntl(fd, F_DUPFD_CLOEXEC, 3)); }

int clinux_duplicate_onto(int fd, int other) { return result(dup3(fd, other, O_CLOEXEC)); }

enum { descriptor_limit = 64 };

long clinux_receive(int fd, void *bytes, size_t byte_count, int *descriptors, size_t *descriptor_count, int *truncated,
                    int wait) {
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * descriptor_limit)];
  } control;
  size_t room = *descriptor_count < descriptor_limit ? *descriptor_count : descriptor_limit;
  struct iovec vector = {.iov_base = bytes, .iov_len = byte_count};
  struct msghdr message = {.msg_iov = &vector,
                           .msg_iovlen = 1,
                           .msg_control = control.bytes,
                           .msg_controllen = room ? CMSG_SPACE(sizeof(int) * room) : 0};
  *descriptor_count = 0;
  *truncated = 0;
  ssize_t count;
  do {
    count = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
  } while (count < 0 && errno == EINTR);
  if (count < 0) return -errno;
  *truncated = (message.msg_flags & MSG_CTRUNC) != 0;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    size_t arrived = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    // CMSG_SPACE rounds up, so one more than asked for can arrive.
    for (size_t index = 0; index < arrived && *descriptor_count < descriptor_limit; index++) {
      int descriptor;
      memcpy(&descriptor, CMSG_DATA(header) + index * sizeof(int), sizeof(int));
      descriptors[(*descriptor_count)++] = descriptor;
    }
  }
  return count;
}

static long send_message(int fd, const void *bytes, size_t byte_count, struct sockaddr_un *address, socklen_t address_count,
                         const int *descriptors, size_t descriptor_count, int wait) {
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * descriptor_limit)];
  } control;
  if (descriptor_count > descriptor_limit) return -E2BIG;
  struct iovec vector = {.iov_base = (void *)bytes, .iov_len = byte_count};
  struct msghdr message = {
      .msg_name = address, .msg_namelen = address_count, .msg_iov = &vector, .msg_iovlen = 1};
  if (descriptor_count) {
    memset(&control, 0, sizeof control);
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * descriptor_count);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * descriptor_count);
    memcpy(CMSG_DATA(header), descriptors, sizeof(int) * descriptor_count);
  }
  ssize_t count;
  do {
    count = sendmsg(fd, &message, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT));
  } while (count < 0 && errno == EINTR);
  return count < 0 ? -errno : count;
}

long clinux_send(int fd, const void *bytes, size_t byte_count, const int *descriptors, size_t descriptor_count, int wait) {
  return send_message(fd, bytes, byte_count, NULL, 0, descriptors, descriptor_count, wait);
}

long clinux_send_to(int fd, const void *bytes, size_t byte_count, const uint8_t *name, size_t name_count,
                    const int *descriptors, size_t descriptor_count, int wait) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (name_count > sizeof address.sun_path) return -ENAMETOOLONG;
  memcpy(address.sun_path, name, name_count);
  socklen_t count = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + name_count);
  return send_message(fd, bytes, byte_count, &address, count, descriptors, descriptor_count, wait);
}

int clinux_forbid_dumps(void) {
  struct rlimit none = {0, 0};
  // The limit says nothing to dumps that are piped to a program. The flag does, and it also keeps other processes of the
  // same user from reading the memory.
  int first = prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
  int second = setrlimit(RLIMIT_CORE, &none) < 0 ? -errno : 0;
  // The Swift runtime's own handlers write registers, and the memory that they point to, to standard error.
  static const int faults[] = {SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV};
  for (size_t index = 0; index < sizeof faults / sizeof faults[0]; index++) (void)signal(faults[index], SIG_DFL);
  return first ? first : second;
}

// AddressSanitizer would give it an array elsewhere than on the stack, and the wipe would miss.
__attribute__((noinline, no_sanitize("address"))) void clinux_wipe_stack(void) {
  // It lies where the frames of the functions lay that were called before.
  char used[32 << 10];
  explicit_bzero(used, sizeof used);
}

void clinux_trim_heaps(void) { (void)malloc_trim(0); }

int clinux_unpin_current_thread(void) {
  cpu_set_t set;
  // Of the process's first thread, which nobody pins.
  if (sched_getaffinity(getpid(), sizeof set, &set) < 0) return -errno;
  return sched_setaffinity(0, sizeof set, &set) < 0 ? -errno : 0;
}

int clinux_pin_current_thread(int cpu) {
  if (cpu < 0 || cpu >= CPU_SETSIZE) return -EINVAL;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return -pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

int clinux_name_current_thread(const char *name) { return -pthread_setname_np(pthread_self(), name); }

static _Atomic uint64_t unlocked_secrets;

void clinux_hold_secrets(void *memory, size_t count) {
  madvise(memory, count, MADV_DONTDUMP);
  // As pages are touched: much is reserved that is never used.
  if (mlock2(memory, count, MLOCK_ONFAULT) < 0) unlocked_secrets += count;
}

void clinux_give_back(void *memory, size_t count) {
  if (madvise(memory, count, MADV_DONTNEED) == 0) return;
  // Locked pages have a word of their own, from Linux 5.18 on.
  enum { dontneed_locked = 24 };
  if (madvise(memory, count, dontneed_locked) == 0) return;
  // Where that fails, the pages stay, which is no harm: they were wiped.
  if (munlock(memory, count) < 0) return;
  madvise(memory, count, MADV_DONTNEED);
  mlock2(memory, count, MLOCK_ONFAULT);
}

uint64_t clinux_unlocked_secrets(void) { return unlocked_secrets; }

int clinux_cannot_shrink(int fd) {
  int seals = fcntl(fd, F_GET_SEALS);
  return seals >= 0 && (seals & F_SEAL_SHRINK) != 0;
}
