// The library has the code: what is here makes a module of the header.
#include "FuzzDriver.h"
