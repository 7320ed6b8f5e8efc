/* struct bitlist: a set of CPU or NUMA node numbers, as the kernel's list format writes it
 * ("0-3,7"). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The kernel's largest NR_CPUS; nodes are fewer. */
#define BITLIST_MAX 8192
#define BITLIST_WORD (8 * sizeof(unsigned long))

struct bitlist {
        unsigned long bits[BITLIST_MAX / BITLIST_WORD];
        unsigned n; /* the highest number in it, plus one; 0: empty */
};

/* Numbers and ascending ranges between commas; blanks around fields and empty fields are let pass,
 * as runc does. 0, -EINVAL, or -ERANGE from BITLIST_MAX on. *ret is untouched then. */
int bitlist_parse(const char *s, struct bitlist *ret);
void bitlist_add(struct bitlist *b, unsigned i); /* i < BITLIST_MAX */
bool bitlist_has(const struct bitlist *b, unsigned i);
