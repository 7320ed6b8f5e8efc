/* Functions that have no safe use here become compile errors: unbounded copies, number parsing
 * that hides errors, and the racy or locale-bound relatives. Force-included by the build in
 * every unit. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef BERTH_ALLOW_BANNED
#define BANNED(f) sorry_##f##_is_banned
#undef strcpy
#define strcpy(a, b) BANNED(strcpy)
#undef strcat
#define strcat(a, b) BANNED(strcat)
#undef strncpy
#define strncpy(a, b, c) BANNED(strncpy)
#undef strncat
#define strncat(a, b, c) BANNED(strncat)
#undef sprintf
#define sprintf(...) BANNED(sprintf)
#undef vsprintf
#define vsprintf(...) BANNED(vsprintf)
#undef gets
#define gets(a) BANNED(gets)
#undef strtok
#define strtok(a, b) BANNED(strtok)
#undef atoi
#define atoi(a) BANNED(atoi)
#undef atol
#define atol(a) BANNED(atol)
#undef atoll
#define atoll(a) BANNED(atoll)
#undef alloca
#define alloca(a) BANNED(alloca)
#undef mktemp
#define mktemp(a) BANNED(mktemp)
#endif
