/* berth-monitor: the supervisor of one container (monitor/monitor.h). Not for people: the engine
 * starts it. */
#include <fcntl.h>
#include <stdio.h>

#include "base/str.h"
#include "kernel/sys.h"
#include "monitor/life.h"
#include "monitor/monitor.h"

int main(int argc, char **argv)
{
        if (argc > 1 && str_eq(argv[1], LIFE_CHILD))
                life_child(argv);
        if (fcntl(MONITOR_FD_STARTED, F_SETFD, FD_CLOEXEC) < 0) {
                fprintf(stderr, "berth-monitor is started by berth; see berth-run(1)\n");
                return 2;
        }
        sys_close_range(MONITOR_FD_STARTED + 1, ~0u, 0);
        return monitor_run(argv[0]);
}
