// A preloaded library that makes calls of the daemon fail, as often as a shared file says. This file has the shared file,
// the dice and the system's calls; Engines.c has the libraries that compute, Rings.c has io_uring.
//
// Only what the daemon's own code calls fails: Swift's runtime ends the process when an allocation of its own fails, and
// that is not what is tested.

#include "Faults.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/if_alg.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const names[FAULT_INJECTOR_KINDS] = {
    [LIBCRYPTO] = "libcrypto",
    [IPSEC_MB] = "ipsec-mb",
    [KERNEL] = "kernel",
    [ALLOCATION] = "allocation",
    [MANAGER] = "mb-manager",
    [MAPPING] = "mmap",
    [MEMFD] = "memfd",
    [EVENTFD] = "eventfd",
    [ACCEPTING] = "accept",
    [THREAD] = "thread",
    [RING_SETUP] = "uring-setup",
    [RING_CALL] = "uring-call",
    [INTERRUPT] = "interrupt",
    [LEAK_MEMORY] = "leak-memory",
    [LEAK_DESCRIPTORS] = "leak-fd",
    [LEAK_THREADS] = "leak-thread",
};

static struct fault_injector_record *records;
static unsigned long seed;
static unsigned long threads;
static __thread unsigned long state __attribute__((tls_model("initial-exec")));
// The main program's code.
static uintptr_t program_start, program_end;

static int find_program(struct dl_phdr_info *info, size_t size, void *unused) {
  (void)size;
  (void)unused;
  for (int index = 0; index < info->dlpi_phnum; index++) {
    const ElfW(Phdr) *header = &info->dlpi_phdr[index];
    if (header->p_type != PT_LOAD || !(header->p_flags & PF_X)) continue;
    program_start = info->dlpi_addr + header->p_vaddr;
    program_end = program_start + header->p_memsz;
  }
  return 1;  // The program comes first.
}

__attribute__((constructor)) static void open_records(void) {
  const char *path = getenv("FAULT_INJECTOR_FILE");
  const char *number = getenv("FAULT_INJECTOR_SEED");
  size_t size = sizeof(struct fault_injector_record) * FAULT_INJECTOR_KINDS;
  if (path == NULL) return;
  seed = number ? strtoul(number, NULL, 10) : 0;
  dl_iterate_phdr(find_program, NULL);
  int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return;
  if (ftruncate(file, (off_t)size) == 0) {
    // By the kernel: the function is ours.
    long memory = syscall(SYS_mmap, NULL, size, (long)(PROT_READ | PROT_WRITE), (long)MAP_SHARED, (long)file, 0L);
    if (memory != -1) {
      struct fault_injector_record *all = (struct fault_injector_record *)memory;
      for (int kind = 0; kind < FAULT_INJECTOR_KINDS; kind++) strncpy(all[kind].name, names[kind], 15);
      __atomic_store_n(&records, all, __ATOMIC_RELEASE);
    }
  }
  close(file);
}

// SplitMix64 of each thread's own.
static unsigned long roll(void) {
  if (state == 0) state = seed + 0x632be59bd9b4e019 * __atomic_add_fetch(&threads, 1, __ATOMIC_RELAXED);
  unsigned long word = state += 0x9e3779b97f4a7c15;
  word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9;
  word = (word ^ (word >> 27)) * 0x94d049bb133111eb;
  return word ^ (word >> 31);
}

bool fails(enum kind kind) {
  struct fault_injector_record *all = __atomic_load_n(&records, __ATOMIC_ACQUIRE);
  if (all == NULL) return false;
  unsigned long rate = __atomic_load_n(&all[kind].rate, __ATOMIC_RELAXED);
  if (rate == 0) return false;
  __atomic_fetch_add(&all[kind].calls, 1, __ATOMIC_RELAXED);
  if (roll() % 1000000 >= rate) return false;
  __atomic_fetch_add(&all[kind].faults, 1, __ATOMIC_RELAXED);
  return true;
}

int pick(const int *numbers, int count) { return numbers[roll() % (unsigned long)count]; }

bool is_program(const void *caller) {
  return (uintptr_t)caller - program_start < program_end - program_start;
}

// ---- The system ------------------------------------------------------------------------------------------------------

#define CALLER __builtin_return_address(0)

int eventfd(unsigned count, int flags) {
  if (is_program(CALLER) && fails(EVENTFD)) return errno = EMFILE, -1;
  if (is_program(CALLER) && fails(LEAK_DESCRIPTORS)) (void)!fcntl(2, F_DUPFD_CLOEXEC, 3);
  return REAL(eventfd)(count, flags);
}

int memfd_create(const char *name, unsigned flags) {
  if (is_program(CALLER) && fails(MEMFD)) return errno = EMFILE, -1;
  return REAL(memfd_create)(name, flags);
}

void *mmap(void *address, size_t count, int protection, int flags, int file, off_t offset) {
  static const int numbers[] = {ENOMEM, EAGAIN};
  if (is_program(CALLER) && fails(MAPPING)) return errno = pick(numbers, 2), MAP_FAILED;
  return REAL(mmap)(address, count, protection, flags, file, offset);
}

// Whether a socket is one of the kernel's cryptography.
static bool is_crypto(int descriptor) {
  int domain = 0;
  socklen_t count = sizeof domain;
  return getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &domain, &count) == 0 && domain == AF_ALG;
}

static const int crypto_numbers[] = {EMFILE, ENFILE, ENOMEM};

int accept4(int socket, struct sockaddr *address, socklen_t *count, int flags) {
  static const int numbers[] = {EMFILE, ENFILE, ECONNABORTED, ENOMEM};
  // Engines ask for no address, the others for none either: only the socket tells.
  bool is_engine = is_program(CALLER) && is_crypto(socket);
  if (is_engine && fails(KERNEL)) return errno = pick(crypto_numbers, 3), -1;
  if (is_program(CALLER) && !is_engine && fails(ACCEPTING)) return errno = pick(numbers, 4), -1;
  return REAL(accept4)(socket, address, count, flags);
}

int socket(int domain, int type, int protocol) {
  if (domain == AF_ALG && is_program(CALLER) && fails(KERNEL)) return errno = pick(crypto_numbers, 3), -1;
  return REAL(socket)(domain, type, protocol);
}

int setsockopt(int socket, int level, int name, const void *value, socklen_t count) {
  if (level == SOL_ALG && name == ALG_SET_KEY && is_program(CALLER) && fails(KERNEL)) return errno = ENOMEM, -1;
  return REAL(setsockopt)(socket, level, name, value, count);
}

static void *idle(void *unused) {
  REAL(poll)(NULL, 0, -1);
  return unused;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument) {
  pthread_t lost;
  if (is_program(CALLER) && fails(LEAK_THREADS)) REAL(pthread_create)(&lost, NULL, idle, NULL);
  if (is_program(CALLER) && fails(THREAD)) return EAGAIN;
  return REAL(pthread_create)(thread, attributes, body, argument);
}

int poll(struct pollfd *entries, nfds_t count, int milliseconds) {
  // Without a wait there is nothing to interrupt, if a descriptor is ready.
  if (milliseconds != 0 && is_program(CALLER) && fails(INTERRUPT)) return errno = EINTR, -1;
  return REAL(poll)(entries, count, milliseconds);
}

ssize_t recvmsg(int socket, struct msghdr *message, int flags) {
  if (is_program(CALLER) && fails(INTERRUPT)) return errno = EINTR, -1;
  // Touched, so that it is resident, and lost.
  if (is_program(CALLER) && fails(LEAK_MEMORY)) {
    void *lost = malloc(65536);
    if (lost != NULL) memset(lost, 1, 65536);
    __asm__ volatile("" : : "r"(lost) : "memory");
  }
  return REAL(recvmsg)(socket, message, flags);
}
