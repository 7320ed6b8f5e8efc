/* What it may do: ids, capabilities, seccomp, LSM label, resource limits. */
#include "base/str.h"
#include "diag/probe.h"
#include "diag/procfs.h"

static void read_ids(const char *status, const char *key, struct num *out[4])
{
        struct span field = text_field(status, key, ':'), w;

        for (int i = 0; i < 4; i++) {
                uint64_t v;

                *out[i] = span_word(&field, &w) && span_to_u64(w, 10, &v) && v <= UINT32_MAX
                                  ? num_of(v)
                                  : (struct num){ NUM_BAD, 0 };
        }
}

static void read_groups(struct does_facts *d, const char *status, struct arena *a)
{
        struct span field = text_field(status, "Groups", ':'), w;
        uint64_t v;
        size_t cap = field.n / 2 + 1;

        d->groups = arena_array(a, uint32_t, cap);
        while (d->n_groups < cap && span_word(&field, &w) && span_to_u64(w, 10, &v))
                d->groups[d->n_groups++] = (uint32_t)v;
}

static void read_caps(struct does_facts *d, const char *status)
{
        const struct {
                const char *key;
                uint64_t *to;
        } sets[] = { { "CapInh", &d->cap_inheritable },
                     { "CapPrm", &d->cap_permitted },
                     { "CapEff", &d->cap_effective },
                     { "CapBnd", &d->cap_bounding },
                     { "CapAmb", &d->cap_ambient } };

        d->caps_known = true;
        for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
                struct span field = text_field(status, sets[i].key, ':');

                if (!field.s || !span_to_u64(field, 16, sets[i].to))
                        d->caps_known = false;
        }
}

/* The id as the process sees it: 65534, the kernel's overflow id, where unmapped. */
static struct num inside(const struct id_map *map, struct num outside)
{
        return num_known(outside) ? id_map_inside(map, (uint32_t)outside.v) : outside;
}

static void read_label(struct facts *f, const struct target *t)
{
        struct does_facts *d = &f->does;
        enum num_state is;
        const char *label = target_text(t, "attr/current", TEXT_SMALL, &is);

        d->lsm_is = is;
        if (label) {
                size_t n = strcspn(label, "\n");

                d->lsm = LSM_LABEL;
                d->lsm_label = arena_strndup(f->arena, label, n);
        } else if (is == NUM_BAD || is == NUM_ABSENT) {
                d->lsm = LSM_NONE; /* EINVAL: no module that labels processes is active */
        } else {
                facts_unread(f, "its LSM label", is);
        }
}

static const struct limit_title {
        const char *title, *name;
        bool usual_finite; /* a host process has a finite one by default */
} limit_titles[] = {
        { "Max cpu time", "cpu", false },
        { "Max file size", "fsize", false },
        { "Max data size", "data", false },
        { "Max stack size", "stack", true },
        { "Max core file size", "core", false },
        { "Max resident set", "rss", false },
        { "Max processes", "nproc", true },
        { "Max open files", "nofile", true },
        { "Max locked memory", "memlock", true },
        { "Max address space", "as", false },
        { "Max file locks", "locks", false },
        { "Max pending signals", "sigpending", true },
        { "Max msgqueue size", "msgqueue", true },
        { "Max nice priority", "nice", true },
        { "Max realtime priority", "rtprio", true },
        { "Max realtime timeout", "rttime", false },
};

static void read_rlimits(struct facts *f, const struct target *t)
{
        struct does_facts *d = &f->does;
        enum num_state is;
        const char *text = target_text(t, "limits", TEXT_SMALL, &is);

        if (!text) {
                facts_unread(f, "its resource limits", is);
                return;
        }
        d->rlimits = arena_array(f->arena, struct rlimit_fact, ARRAY_SIZE(limit_titles));
        for (size_t i = 0; i < ARRAY_SIZE(limit_titles); i++) {
                const struct limit_title *title = &limit_titles[i];
                struct rlimit_fact r = { .name = title->name };

                if (!procfs_limit(text, title->title, &r.soft, &r.hard))
                        continue;
                r.remarkable = str_eq(title->name, "nofile") ||
                               (!title->usual_finite && num_known(r.hard)) ||
                               (str_eq(title->name, "memlock") && r.soft.is == NUM_MAX) ||
                               ((str_eq(title->name, "rtprio") || str_eq(title->name, "nice")) &&
                                num_known(r.hard) && r.hard.v > 0);
                d->rlimits[d->n_rlimits++] = r;
        }
}

static void read_oom(struct facts *f, const struct target *t)
{
        const char *text = target_text(t, "oom_score_adj", TEXT_SMALL, NULL);
        struct span at = text ? span_of(text) : (struct span){ 0 }, line;
        int64_t v;

        f->does.oom_score_adj_plus1000 = (struct num){ NUM_ABSENT, 0 };
        if (span_next(&at, '\n', &line) && span_to_i64(line, &v) && v >= -1000 && v <= 1000)
                f->does.oom_score_adj_plus1000 = num_of((uint64_t)(v + 1000));
}

void probe_cred(struct facts *f, const struct target *t)
{
        struct does_facts *d = &f->does;
        enum num_state is;
        const char *status = target_text(t, "status", TEXT_SMALL, &is);

        if (!status) {
                facts_unread(f, "its credentials", is);
                return;
        }
        read_ids(status, "Uid", (struct num *[]){ &d->uid, &d->euid, &d->suid, &d->fsuid });
        read_ids(status, "Gid", (struct num *[]){ &d->gid, &d->egid, &d->sgid, &d->fsgid });
        d->uid_inside = inside(&f->sees.uid_map, d->euid);
        d->gid_inside = inside(&f->sees.gid_map, d->egid);
        read_groups(d, status, f->arena);
        read_caps(d, status);
        d->no_new_privs = text_num(status, "NoNewPrivs", ':');
        d->seccomp_mode = text_num(status, "Seccomp", ':');
        d->seccomp_filters = text_num(status, "Seccomp_filters", ':');
        d->tracer = text_num(status, "TracerPid", ':');
        read_label(f, t);
        read_rlimits(f, t);
        read_oom(f, t);
}
