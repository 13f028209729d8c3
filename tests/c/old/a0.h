/* June 2011, the API that the first manual page prints: no version number. */
#include "req32.h"
#include "slot8.h"
#include "ring40.h"
#include "if24.h"
#include "macros.h"
