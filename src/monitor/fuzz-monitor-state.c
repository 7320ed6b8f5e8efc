/* state.json, exits/life, the journal's last lines and the kernel's log: what a monitor, or whoever
 * writes in its place, may have left. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "monitor/evidence.h"
#include "monitor/journal.h"
#include "monitor/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void read_state(const char *text, size_t n)
{
        struct monitor_state s;

        if (monitor_state_read(text, n, &s) < 0)
                return;
        if (s.status >= MONITOR_STATUS_MAX || s.health >= HEALTH_STATUS_MAX || s.pid < 0 ||
            s.monitor < 0 || memchr(s.error, 0, sizeof s.error) == NULL)
                abort();
}

/* What is cut off is no whole line, and a number is that of a line that is kept. */
static void read_journal(const char *text, size_t n)
{
        uint64_t seq = 0, again = 0;
        size_t whole = journal_whole(text, n, &seq);

        if (whole > n || (whole && text[whole - 1] != '\n') ||
            memchr(text + whole, '\n', n - whole))
                abort();
        if (journal_whole(text, whole, &again) != whole || again != seq)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        const char *text = (const char *)data;
        char *line = mem_alloc(n + 1);
        int64_t started;
        pid_t victim = 0;
        bool machine;

        memcpy(line, data, n);
        line[n] = 0;
        read_state(text, n);
        read_journal(text, n);
        evidence_life_read(line, "boot", &started, &machine);
        evidence_kernel_line(line, "/berth/4f", 12, &victim);
        free(line);
        return 0;
}
