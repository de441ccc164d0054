#ifndef FAULT_INJECTOR_H
#define FAULT_INJECTOR_H

// The file that FAULT_INJECTOR_FILE names is an array of these, one for each kind of fault in the order of
// fault_injector_kinds. Whoever shares it sets rates while the program runs, and reads the counts also when it has died.
struct fault_injector_record {
  // The kind's name, ending in zeros; written by the library.
  char name[16];
  // How many of a million calls fail. 0: none.
  unsigned long rate;
  // Calls that could have failed while the rate was not 0, and those that did.
  unsigned long calls;
  unsigned long faults;
};

// Kinds whose names begin with "leak" do not fail: they leak on purpose, so that whoever looks for growth can be tested.
#define FAULT_INJECTOR_KINDS 16

#endif
