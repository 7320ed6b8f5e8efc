/* Device numbers with names: which ones every container gets, which ones open the host. Pure. */
#pragma once

#include "diag/facts.h"

/* A number that no driver uses: what a program answers for it, it answers for any. */
#define DEVICE_UNLIKELY 0xFFFFEu

/* Names d and marks what gives the host away. */
void devices_name(struct device_fact *d);
/* Whether every container may use it (config-linux.md, "Default Devices"). */
bool devices_default(const struct device_fact *d);
/* What a program is asked about: any character and block device first, then those with names. */
size_t devices_of_interest(struct arena *a, struct device_fact **ret);
