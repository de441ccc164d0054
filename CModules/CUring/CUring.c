#define _GNU_SOURCE
#include "CUring.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct curing {
  struct io_uring ring;
};

// The library's functions for the two calls below are missing from its shared object (Debian 12: 2.3).
static int register_with(struct io_uring *ring, unsigned opcode, void *argument, unsigned count) {
  long result = syscall(SYS_io_uring_register, ring->ring_fd, opcode, argument, count);
  return result < 0 ? -errno : 0;
}

// What is prepared below, and nothing else. A filter of system calls does not see what a ring does, so the kernel is told
// what it may: whoever takes the process over can open, connect or start nothing with the rings of workers.
static int restrict_ring(struct io_uring *ring) {
  struct io_uring_restriction restrictions[] = {
      {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_POLL_ADD},
      {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_WRITE},
      {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_SENDMSG},
      {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_READV},
      {.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED,
       .sqe_flags = IOSQE_IO_LINK | IOSQE_ASYNC | IOSQE_CQE_SKIP_SUCCESS},
  };
  int result = register_with(ring, IORING_REGISTER_RESTRICTIONS, restrictions,
                             sizeof restrictions / sizeof *restrictions);
  // From here on; the one issuer is the thread that says so.
  return result < 0 ? result : register_with(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

curing *curing_make(unsigned entries, int *error) {
  // Newest first; an older kernel answers EINVAL to a flag that it does not know. (IORING_SETUP_R_DISABLED: 5.10.)
  static const unsigned flag_sets[] = {
      IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
      IORING_SETUP_R_DISABLED | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
      IORING_SETUP_R_DISABLED,
      0,
  };
  curing *made = malloc(sizeof *made);
  int result = -ENOMEM;
  for (unsigned index = 0; made && index < sizeof flag_sets / sizeof *flag_sets; index++) {
    struct io_uring_params parameters;
    memset(&parameters, 0, sizeof parameters);
    parameters.flags = flag_sets[index];
    result = io_uring_queue_init_params(entries, &made->ring, &parameters);
    if (result == 0 && parameters.flags & IORING_SETUP_R_DISABLED) {
      result = restrict_ring(&made->ring);
      if (result < 0) io_uring_queue_exit(&made->ring);
    }
    if (result != -EINVAL) break;
  }
  if (result < 0) {
    free(made);
    *error = result;
    return NULL;
  }
  return made;
}

void curing_free(curing *ring) {
  io_uring_queue_exit(&ring->ring);
  free(ring);
}

bool curing_poll_multishot(curing *ring, int fd, uint64_t user_data) {
  struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->ring);
  if (!sqe) return false;
  io_uring_prep_poll_multishot(sqe, fd, POLLIN);
  io_uring_sqe_set_data64(sqe, user_data);
  return true;
}

// What is written; it outlives every ring, whenever the kernel gets round to it.
static const uint64_t one = 1;

bool curing_is_nonblocking(int fd) {
  int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && (flags & O_NONBLOCK) != 0;
}

void curing_signal_now(int fd) {
  struct pollfd entry = {.fd = fd, .events = POLLOUT};
  if (poll(&entry, 1, 0) == 1 && (entry.revents & POLLOUT)) {
    ssize_t written = write(fd, &one, sizeof one);
    (void)written;  // Somebody else has filled it meanwhile: then it is signalled.
  }
}

bool curing_signal(curing *ring, int fd, uint64_t user_data) {
  struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->ring);
  if (!sqe) return false;
  io_uring_prep_write(sqe, fd, &one, sizeof one, 0);
  // Without waiting: a write that waits is lost when the ring ends, and many of them fill the kernel's memory.
  sqe->rw_flags = RWF_NOWAIT;
  // Nobody waits for it, and a busy worker that takes in no completions must not pile them up.
  if (ring->ring.features & IORING_FEAT_CQE_SKIP) io_uring_sqe_set_flags(sqe, IOSQE_CQE_SKIP_SUCCESS);
  io_uring_sqe_set_data64(sqe, user_data);
  return true;
}

unsigned curing_prepared(const curing *ring) { return io_uring_sq_ready(&ring->ring); }

bool curing_sends_silently(const curing *ring) { return ring->ring.features & IORING_FEAT_CQE_SKIP; }

bool curing_reserve(curing *ring, unsigned count) {
  if (io_uring_sq_space_left(&ring->ring) >= count) return true;
  io_uring_submit(&ring->ring);
  return io_uring_sq_space_left(&ring->ring) >= count;
}

void curing_send_then_read(curing *ring, int fd, const void *message, const void *vector, unsigned count,
                           uint64_t user_data, uint64_t send_data, bool send_in_thread, bool read_in_thread) {
  struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->ring);
  io_uring_prep_sendmsg(sqe, fd, message, 0);
  unsigned flags = IOSQE_IO_LINK;
  if (ring->ring.features & IORING_FEAT_CQE_SKIP) flags |= IOSQE_CQE_SKIP_SUCCESS;
  io_uring_sqe_set_flags(sqe, flags | (send_in_thread ? IOSQE_ASYNC : 0));
  io_uring_sqe_set_data64(sqe, send_data);
  sqe = io_uring_get_sqe(&ring->ring);
  io_uring_prep_readv(sqe, fd, vector, count, 0);
  io_uring_sqe_set_flags(sqe, read_in_thread ? IOSQE_ASYNC : 0);
  io_uring_sqe_set_data64(sqe, user_data);
}

int curing_submit(curing *ring) { return io_uring_submit(&ring->ring); }

int curing_submit_and_wait(curing *ring) {
  int result = io_uring_submit_and_wait(&ring->ring, 1);
  return result == -EINTR ? 0 : result;
}

int curing_submit_and_wait_for(curing *ring, uint64_t nanoseconds) {
  struct __kernel_timespec time = {.tv_sec = nanoseconds / 1000000000u, .tv_nsec = nanoseconds % 1000000000u};
  struct io_uring_cqe *cqe;
  int result = io_uring_submit_and_wait_timeout(&ring->ring, &cqe, 1, &time, NULL);
  return result == -EINTR || result == -ETIME ? 0 : result;
}

static bool take(curing *ring, uint64_t *user_data, int32_t *result, bool *has_more) {
  struct io_uring_cqe *cqe;
  // Without the library's peek, which makes a system call of its own accord.
  unsigned head;
  io_uring_for_each_cqe(&ring->ring, head, cqe) {
    if (__builtin_expect(cqe->user_data == LIBURING_UDATA_TIMEOUT, 0)) {
      // How the library waits for a time where the kernel cannot be told one (before 5.11).
      io_uring_cqe_seen(&ring->ring, cqe);
      continue;
    }
    *user_data = cqe->user_data;
    *result = cqe->res;
    *has_more = (cqe->flags & IORING_CQE_F_MORE) != 0;
    io_uring_cqe_seen(&ring->ring, cqe);
    return true;
  }
  return false;
}

bool curing_next(curing *ring, uint64_t *user_data, int32_t *result, bool *has_more) {
  if (take(ring, user_data, result, has_more)) return true;
  unsigned flags = __atomic_load_n(ring->ring.sq.kflags, __ATOMIC_RELAXED);
  if (!(flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW))) return false;
  io_uring_get_events(&ring->ring);
  return take(ring, user_data, result, has_more);
}
