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

#define MIN(a, b)                                                                                  \
        ({                                                                                         \
                __auto_type a_ = (a);                                                              \
                __auto_type b_ = (b);                                                              \
                a_ < b_ ? a_ : b_;                                                                 \
        })
#define MAX(a, b)                                                                                  \
        ({                                                                                         \
                __auto_type a_ = (a);                                                              \
                __auto_type b_ = (b);                                                              \
                a_ > b_ ? a_ : b_;                                                                 \
        })
