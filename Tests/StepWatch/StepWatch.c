#define _GNU_SOURCE
#include "StepWatch.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

int step_start(const char *program) {
  int pid = fork();
  if (pid < 0) return -errno;
  if (pid == 0) {
    // System calls only: the caller has threads.
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    char *words[] = {(char *)program, NULL};
    execv(program, words);
    _exit(127);
  }
  for (;;) {
    int status;
    if (waitpid(pid, &status, __WALL) != pid) return -errno;
    if (!WIFSTOPPED(status)) return -ECHILD;
    if (WSTOPSIG(status) == SIGSTOP) return pid;
    // Of exec, and whatever else it gets on its way.
    int signal = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
    if (ptrace(PTRACE_CONT, pid, 0, (void *)(long)signal) < 0) return -errno;
  }
}

int step_once(int pid) {
  if (ptrace(PTRACE_SINGLESTEP, pid, 0, 0) < 0) return -errno;
  int status;
  if (waitpid(pid, &status, __WALL) != pid) return -errno;
  if (WIFEXITED(status)) return WEXITSTATUS(status) == 0 ? 1 : -ECHILD;
  return WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP ? 0 : -EINTR;
}

void step_kill(int pid) {
  kill(pid, SIGKILL);
  int status;
  waitpid(pid, &status, __WALL);
}
