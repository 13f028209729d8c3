/* API 5, end of 2013. */
#define NETMAP_API 5

#include "req60.h"
#include "slot16.h"
#include "ring48.h"
#include "if32f.h"
#include "macros.h"
