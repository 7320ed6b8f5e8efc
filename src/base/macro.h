/* Small compiler helpers shared by every file: cleanup attributes, array sizes, ownership transfer.
 *
 * AUTO(x) runs x_p() on the variable when it leaves scope; TAKE_* move ownership out of such a
 * variable, leaving behind the value that its destructor ignores. */
#pragma once

#include <assert.h>
#include <stddef.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof *(a))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define UNUSED __attribute__((unused))
#define NODISCARD __attribute__((warn_unused_result))

/* Declares fn##_p(T *), the cleanup form of a destructor that takes a T. */
#define DEFINE_CLEANUP(T, fn)                                                                      \
        static inline void fn##_p(T *p)                                                            \
        {                                                                                          \
                fn(*p);                                                                            \
        }
#define AUTO(fn) __attribute__((cleanup(fn##_p)))

#define TAKE_PTR(p)                                                                                \
        ({                                                                                         \
                __auto_type take_ = (p);                                                           \
                (p) = NULL;                                                                        \
                take_;                                                                             \
        })

#define CONCAT_(a, b) a##b
#define CONCAT(a, b) CONCAT_(a, b)
/* Each use has names of its own, so that they nest without shadowing. */
#define MINMAX_(a, b, x, y, op)                                                                    \
        ({                                                                                         \
                __auto_type x = (a);                                                               \
                __auto_type y = (b);                                                               \
                x op y ? x : y;                                                                    \
        })
#define MINMAX(a, b, n, op) MINMAX_(a, b, CONCAT(minmax_a_, n), CONCAT(minmax_b_, n), op)
#define MIN(a, b) MINMAX(a, b, __COUNTER__, <)
#define MAX(a, b) MINMAX(a, b, __COUNTER__, >)
