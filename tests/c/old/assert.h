/* Static asserts for layouts. */
#ifndef TESTS_OLD_ASSERT_H
#define TESTS_OLD_ASSERT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <sys/types.h>

#define AT(type, field, offset) _Static_assert(offsetof(struct type, field) == (offset), #type "." #field)
#define SIZE(type, size) _Static_assert(sizeof(struct type) == (size), "size of " #type)
#define NUMBER(name, value) _Static_assert((name) == (value), #name)
#define IFNAMSIZ 16

#endif
