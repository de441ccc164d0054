// Failures of io_uring: setting rings up, and the calls that submit and wait. What is prepared stays prepared, as it does
// when the kernel fails.

#include "Faults.h"

#include <errno.h>
#include <liburing.h>

int io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *parameters) {
  static const int numbers[] = {-ENOMEM, -EMFILE, -ENFILE};
  if (fails(RING_SETUP)) return pick(numbers, 3);
  return REAL(io_uring_queue_init_params)(entries, ring, parameters);
}

static const int call_numbers[] = {-EINTR, -EAGAIN, -EBUSY};

int io_uring_submit(struct io_uring *ring) {
  if (fails(RING_CALL)) return pick(call_numbers, 3);
  return REAL(io_uring_submit)(ring);
}

int io_uring_submit_and_wait(struct io_uring *ring, unsigned count) {
  if (fails(RING_CALL)) return pick(call_numbers, 3);
  return REAL(io_uring_submit_and_wait)(ring, count);
}

int io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **completion, unsigned count,
                                     struct __kernel_timespec *time, sigset_t *mask) {
  if (fails(RING_CALL)) return pick(call_numbers, 3);
  return REAL(io_uring_submit_and_wait_timeout)(ring, completion, count, time, mask);
}
