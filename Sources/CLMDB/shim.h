// The same view of the system's headers as in CURing: both are imported by one target.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <lmdb.h>
