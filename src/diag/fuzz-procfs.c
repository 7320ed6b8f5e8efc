/* Every procfs and cgroup text through every parser: no input crashes one, and what comes out
 * holds to what the headers promise. */
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "diag/cgroup-place.h"
#include "diag/mounts.h"
#include "diag/owner.h"
#include "diag/procfs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
        if (!holds)
                abort();
}

static void numbers(const char *text)
{
        struct num read, write, soft, hard;
        struct stat_line s;
        int64_t secs;
        uint32_t ns;

        text_one(text);
        text_num(text, "NSpid", ':');
        text_field(text, "Name", ':');
        if (procfs_stat(text, &s))
                must(s.state != 0);
        if (procfs_time_offset(text, "monotonic", &secs, &ns))
                must(ns < 1000000000);
        procfs_limit(text, "Max open files", &soft, &hard);
        must(procfs_psi(text, "some").avg10.v <= 10099);
        must(cpu_list_count(span_of(text)).v <= 2u << 20);
        procfs_io_v1(text, &read, &write);
        procfs_io_v2(text, &read, &write);
}

static void lists(struct arena *a, const char *text, size_t size)
{
        struct id_map m = procfs_id_map(a, text);
        struct device_fact *devices;
        const char **args;
        bool cut = false, all;

        must(m.n <= FACTS_MAP_MAX);
        id_map_inside(&m, 1000);
        for (size_t i = 0, n = procfs_devices(a, text, &devices, &all); i < n; i++)
                must(strlen(devices[i].access) <= 3);
        must(procfs_args(a, text, size, &args, &cut) <= FACTS_ARGS_MAX);
}

static bool exists(const char *path)
{
        return true;
}

static const char *link_of(struct arena *a, const char *path)
{
        return "../layer/diff";
}

/* The text as the target's mount table and as the host's. */
static void mounts(struct arena *a, const char *text)
{
        struct probe_host h = { 0 };
        struct fs_facts fs = { 0 };
        unsigned major, minor;
        const char *root;

        probe_host_mounts(a, text, &h);
        mounts_read(a, text, &h, &fs);
        must(fs.root >= -1 && fs.root < (int)fs.n);
        mounts_overlay(a, &fs, link_of);
        mounts_protections(a, &fs, exists);
        probe_host_locate(&h, "/run/docker.sock", &major, &minor, &root);
}

static void cgroups(struct arena *a, const char *text)
{
        struct cgroup_layout layout;
        struct consumes_facts c = { 0 };
        struct owner_clue clue;

        if (owner_from_cgroups(a, text, &clue))
                must(clue.kind != NULL);
        owner_from_path(a, text, &clue);
        if (cgroup_layout_parse(a,
                                "30 25 0:26 / /cg rw - cgroup2 none rw\n"
                                "31 25 0:27 /a /m rw - cgroup none rw,memory\n",
                                "1:memory:/a\n0::/\n", "cpu pids\n", &layout) < 0)
                return;
        cgroup_places(a, &layout, text, true, &c);
        for (int i = 0; i < CGROUP_CONTROLLER_MAX; i++) {
                struct levels l = cgroup_levels(a, &c.place[i]);

                must(l.n <= FACTS_LEVELS_MAX);
                cgroup_bind_cpu(&l);
                cgroup_bind_usage(&l);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTO_ARENA a = { 0 };
        const char *text = arena_strndup(&a, (const char *)data, size);

        if (size > 1 << 16)
                return 0;
        numbers(text);
        lists(&a, text, size);
        mounts(&a, text);
        cgroups(&a, text);
        return 0;
}
