// libFuzzer's own loop, for programs that have a main function of their own.
#pragma once
#include <stddef.h>
#include <stdint.h>

// Reads options and corpus folders from the arguments, and calls for each input; does not return before it is done.
int LLVMFuzzerRunDriver(
    int *argc, char ***argv, int (*input)(const uint8_t *data, size_t count));
