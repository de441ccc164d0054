#define _GNU_SOURCE
#include "ExitWatch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

enum { READY = 'r', FAILED = 'f', HELD = 'h', GONE = 'g' };

static void tell(int events, char what) {
  if (write(events, &what, 1) != 1) _exit(1);
}

// The child's whole life: system calls only, because it was forked from a process with threads.
static void trace(int pid, int commands, int events) {
  if (ptrace(PTRACE_SEIZE, pid, 0, (void *)PTRACE_O_TRACEEXIT) != 0) {
    tell(events, FAILED);
    _exit(1);
  }
  tell(events, READY);
  for (;;) {
    int status;
    if (waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status)) {
      tell(events, GONE);
      _exit(0);
    }
    int event = status >> 16;
    if (event == PTRACE_EVENT_EXIT) {
      tell(events, HELD);
      char command;
      // The end of the pipe, when the test is gone, lets go as well.
      while (read(commands, &command, 1) < 0 && errno == EINTR) {
      }
      ptrace(PTRACE_DETACH, pid, 0, 0);
      _exit(0);
    }
    // Signals are passed on; a stop of the whole group is not what this is about.
    long number = event == PTRACE_EVENT_STOP ? 0 : WSTOPSIG(status);
    ptrace(PTRACE_CONT, pid, 0, (void *)number);
  }
}

static void hold(int thread, int commands, int events) {
  int status;
  if (ptrace(PTRACE_SEIZE, thread, 0, 0) != 0 || ptrace(PTRACE_INTERRUPT, thread, 0, 0) != 0 ||
      waitpid(thread, &status, __WALL) != thread || !WIFSTOPPED(status)) {
    tell(events, FAILED);
    _exit(1);
  }
  tell(events, READY);
  char command;
  while (read(commands, &command, 1) < 0 && errno == EINTR) {
  }
  ptrace(PTRACE_DETACH, thread, 0, 0);
  _exit(0);
}

static int start(void (*life)(int, int, int), int pid, struct exit_watch *watch) {
  int down[2], up[2];
  if (pipe2(down, O_CLOEXEC) != 0) return errno;
  if (pipe2(up, O_CLOEXEC) != 0) {
    int code = errno;
    close(down[0]);
    close(down[1]);
    return code;
  }
  int tracer = fork();
  if (tracer == 0) {
    close(down[1]);
    close(up[0]);
    life(pid, down[0], up[1]);
  }
  int code = errno;
  close(down[0]);
  close(up[1]);
  *watch = (struct exit_watch){.tracer = tracer, .commands = down[1], .events = up[0]};
  char first = FAILED;
  if (tracer > 0 && read(up[0], &first, 1) == 1 && first == READY) return 0;
  exit_watch_finish(watch);
  return tracer < 0 ? code : EPERM;
}

int exit_watch_start(int pid, struct exit_watch *watch) { return start(trace, pid, watch); }

int thread_hold_start(int thread, struct exit_watch *watch) { return start(hold, thread, watch); }

int exit_watch_wait(const struct exit_watch *watch, int milliseconds) {
  struct pollfd entry = {.fd = watch->events, .events = POLLIN};
  int count;
  do {
    count = poll(&entry, 1, milliseconds);
  } while (count < 0 && errno == EINTR);
  if (count == 0) return ETIMEDOUT;
  char what;
  if (count < 0 || read(watch->events, &what, 1) != 1) return EIO;
  return what == HELD ? 0 : ESRCH;
}

void exit_watch_finish(struct exit_watch *watch) {
  close(watch->commands);
  close(watch->events);
  if (watch->tracer <= 0) return;
  // Held, it lets go at the end of the pipe; waiting, it is killed, which detaches it.
  int status;
  for (int turn = 0; turn < 200; turn++) {
    if (waitpid(watch->tracer, &status, WNOHANG) != 0) return;
    usleep(5000);
  }
  kill(watch->tracer, SIGKILL);
  waitpid(watch->tracer, &status, 0);
}
