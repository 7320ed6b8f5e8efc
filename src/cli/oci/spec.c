/* spec, features: documents that need no container. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/oci/ctx.h"
#include "kernel/cgroup.h"
#include "oci/features.h"
#include "oci/spec-default.h"
#include "oci/systemd.h"

struct spec_args {
        const char *bundle;
        bool rootless;
};
static const struct opt spec_opts[] = {
        STR(struct spec_args, bundle, 'b', "bundle", "DIR",
            "Write config.json into DIR; by default the current directory",
            .complete = COMPLETE_DIR),
        FLAG(struct spec_args, rootless, 0, "rootless",
             "For an unprivileged user: with a user namespace"),
        {}
};

static int spec(struct ctx *c, void *args, int argc, char **argv, struct err *e)
{
        const struct spec_args *a = args;
        const char *bundle = a->bundle ? a->bundle : ".";
        struct cgroup_layout layout;
        struct spec_default_input in = { .rootless = a->rootless,
                                         .uid = geteuid(),
                                         .gid = getegid() };
        AUTO_FD int dir = open(bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);
        AUTO_BUF text = { 0 };

        if (dir < 0)
                return err_sys(e, errno, "cannot open bundle \"%s\"", bundle);
        AUTO_FD int fd = openat(dir, "config.json", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd < 0) {
                err_sys(e, errno, "cannot make \"%s/config.json\"", bundle);
                if (errno == EEXIST)
                        err_hint(e, "remove it first");
                return -1;
        }
        in.cgroup_namespace =
                cgroup_layout_read(&c->arena, &layout) == 0 && cgroup_layout_unified(&layout);
        spec_default_write(&in, &text);
        int r = fd_write_all(fd, text.s, text.len);
        return r < 0 ? err_sys(e, r, "cannot write \"%s/config.json\"", bundle) : 0;
}

const struct command oci_spec = {
        .name = "spec",
        .usage = "",
        .help = "Write a config.json to start from",
        .opts = spec_opts,
        .min = 0,
        .max = 0,
        .args_size = sizeof(struct spec_args),
        .run = spec,
};

static int features(struct ctx *c, void *args, int argc, char **argv, struct err *e)
{
        static const char *const unsafe[] = { "org.criu.config", "org.systemd.property.", NULL };
        struct features_input in = { .version = BERTH_VERSION,
                                     .systemd = true,
                                     .systemd_user = true,
                                     .checkpoint = true,
                                     .unsafe_annotations = unsafe };
        AUTO_BUF out = { 0 };

        features_write(&in, &out);
        fd_write_all(STDOUT_FILENO, out.s, out.len);
        return 0;
}

const struct command oci_features = {
        .name = "features",
        .usage = "",
        .help = "Print what this runtime supports, as JSON",
        .min = 0,
        .max = 0,
        .run = features,
};
