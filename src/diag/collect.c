#include "diag/collect.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/str.h"
#include "diag/drift.h"
#include "diag/host.h"
#include "diag/probe.h"
#include "diag/state-dirs.h"
#include "diag/target.h"

static bool all_digits(const char *s)
{
        return *s && s[strspn(s, "0123456789")] == 0;
}

int collect_resolve(struct arena *a, const char *what, const struct collect_options *o,
                    pid_t *ret_pid, struct err *e)
{
        struct strings roots;
        bool denied = false;
        uint32_t pid;

        if (str_empty(what))
                return err_set(e, ERR_INVALID, "no process or container named");
        /* A short number is a pid; an id of digits alone is 64 long or has a prefix of 12. */
        if (all_digits(what) && strlen(what) <= 10) {
                if (str_to_u32(what, &pid) < 0 || pid == 0 || pid > INT32_MAX)
                        return err_set(e, ERR_INVALID, "'%s' is no process number", what);
                *ret_pid = (pid_t)pid;
                return 0;
        }
        roots = state_roots(a, o->roots);
        if (state_find(a, &roots, what, ret_pid, &denied, e) == 0)
                return 0;
        if (denied && e->code == ERR_NOT_FOUND) {
                err_set(e, ERR_DENIED, "cannot read every state directory to find container '%s'",
                        what);
                err_hint(e, "Run it as root, or name the process by number.");
        }
        return -1;
}

static bool host_has(const char *path)
{
        return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void probe_drift(struct facts *f, const struct probe_host *h)
{
        struct drift_facts *d = &f->drift;
        enum num_state is;
        struct spec spec;
        struct err e = { 0 };
        const char *text;
        size_t n;

        d->config = f->owner.config_path;
        if (!d->config) {
                d->why_not = f->owner.container ? "no configuration was found" : "not a container";
                return;
        }
        text = file_text(f->arena, AT_FDCWD, d->config, SPEC_MAX_BYTES, &n, &is);
        if (!text) {
                d->why_not = num_state_names[is];
                facts_unread(f, "its declared configuration", is);
                return;
        }
        if (spec_parse(f->arena, text, n, &spec, &e) < 0) {
                d->why_not = arena_strdup(f->arena, e.chain);
                facts_unchecked(f, "its declared configuration", d->why_not);
                return;
        }
        drift_compare(f, &spec, h->page, host_has);
}

/* What nothing here looks at, so that silence is not taken for an answer. */
static void note_limits(struct facts *f)
{
        if (num_known(f->does.seccomp_mode) && f->does.seccomp_mode.v == 2)
                facts_unchecked(f, "what its seccomp filter allows",
                                "reading it would stop the process");
        if (f->sees.reader_nested)
                facts_unchecked(f, "the machine's own namespaces and cgroups",
                                "this shell is itself in a pid namespace: host means its init");
        if (f->consumes.memory.cut && f->consumes.memory.n)
                facts_unchecked(f, "limits of cgroups further up", num_state_names[NUM_HIDDEN]);
}

int collect(struct arena *a, pid_t pid, const struct collect_options *o, struct facts *ret,
            struct err *e)
{
        __attribute__((cleanup(target_done_p))) struct target t = TARGET_INIT;
        struct facts *f = ret;
        struct probe_host host;
        struct strings roots;

        *f = (struct facts){ .arena = a };
        if (target_open(a, pid, &t, e) < 0)
                return -1;
        probe_host_read(a, &host);
        f->host = host.name;
        f->kernel = host.kernel;
        probe_process(f, &t, &host);
        probe_ns(f, &t, &host);
        probe_cred(f, &t);
        probe_places(f, &t, &host);
        roots = state_roots(a, o->roots);
        probe_owner(f, &t, &host, &roots);
        probe_mounts(f, &t, &host);
        probe_devices(f, &t, &host);
        probe_consumes(f, &t, &host, o->sample_ms);
        probe_drift(f, &host);
        note_limits(f);
        f->gone = !target_alive(&t);
        return 0;
}
