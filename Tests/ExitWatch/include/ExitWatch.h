#ifndef EXIT_WATCH_H
#define EXIT_WATCH_H

// Holds a process at the very end of its life, when its last instruction has run and its memory is
// still there to look at. A forked child of the caller is the tracer, so that the caller can still
// wait for the process, whose parent it may be.
struct exit_watch {
  int tracer;
  // The tracer's end of the pipe to write to, and the one to read from.
  int commands;
  int events;
};

// Begins to trace the main thread of `pid`. 0, or an errno.
int exit_watch_start(int pid, struct exit_watch *watch);

// Stops one thread of another process, whose others go on, until `exit_watch_finish`. 0, or an errno.
int thread_hold_start(int thread, struct exit_watch *watch);

// Waits until the main thread stops at its exit. 0: it is held there; ETIMEDOUT; ESRCH: it is gone.
int exit_watch_wait(const struct exit_watch *watch, int milliseconds);

// Lets the process end, or go on where it has not stopped, and ends the tracer.
void exit_watch_finish(struct exit_watch *watch);

#endif
