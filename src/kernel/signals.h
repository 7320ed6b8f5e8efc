/* Signals by name and number. */
#pragma once

/* "TERM", "SIGTERM", "15", "RTMIN+3": the number, or -EINVAL. */
int signal_parse(const char *text);
/* "SIGTERM", or NULL for one without a name of its own. */
const char *signal_name(int sig);
