/* Operations that write: none yet. */
#include "image/registry-internal.h"

const struct operation upload_operations[] = { {} };
