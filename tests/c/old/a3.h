/* API 3, 2012: FreeBSD 9.1 and the first Linux releases. */
#define NETMAP_API 3

#include "req60.h"
#include "slot8.h"
#include "ring48.h"
#include "if32r.h"
#include "macros.h"
