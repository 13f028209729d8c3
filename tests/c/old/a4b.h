/* API 4 as Linux had it in 2013, with slots of 16 bytes. */
#define NETMAP_API 4

#include "req60.h"
#include "slot16.h"
#include "ring48.h"
#include "if32r.h"
#include "macros.h"
