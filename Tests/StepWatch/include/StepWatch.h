#ifndef STEP_WATCH_H
#define STEP_WATCH_H

// Starts a program that stops itself (SIGSTOP), and runs it from there one instruction at a time until it exits.

// Starts it and waits until it has stopped; its number, or -errno.
int step_start(const char *program);

// Lets one instruction run. 0: it goes on; 1: it has exited; -errno.
int step_once(int pid);

// Kills it, wherever it is.
void step_kill(int pid);

#endif
