/* API 11, 2014 to 2018: netmap of FreeBSD 10 and 11. */
#define NETMAP_API 11

#include "req60.h"
#include "slot16.h"
#include "ring256.h"
#include "if56.h"
#include "macros.h"
