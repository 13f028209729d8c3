/* API 10, January 2014: head, cur and tail. */
#define NETMAP_API 10

#include "req60.h"
#include "slot16.h"
#include "ring256.h"
#include "if40.h"
#include "macros.h"
