/* berth pull: images from a registry. */
#include "cli/commands/pull.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/berth.h"
#include "cli/progress.h"
#include "cli/prompt.h"
#include "cli/registry-args.h"
#include "engine/events.h"
#include "image/archive.h"
#include "image/pull.h"
#include "image/registry-config.h"

enum { EXIT_FAILED = 1 };

struct pull_args {
        bool all_tags, all_platforms, quiet, keep_blobs;
        const char *platform, *os, *arch, *variant;
        enum pull_policy policy;
        uint64_t jobs;
        struct registry_args registry;
};

static const struct opt opts[] = {
        HEADING("Which images"),
        FLAG(struct pull_args, all_tags, 'a', "all-tags", "Pull every tag of the repository"),
        STR(struct pull_args, platform, 0, "platform", "OS/ARCH[/VARIANT]",
            "Choose the image for this platform instead of this machine's"),
        STR(struct pull_args, arch, 0, "arch", "ARCH", "Choose by architecture alone"),
        STR(struct pull_args, os, 0, "os", "OS", "Choose by operating system"),
        STR(struct pull_args, variant, 0, "variant", "VARIANT",
            "Choose by the architecture's variant"),
        FLAG(struct pull_args, all_platforms, 0, "all-platforms",
             "Pull what the index has for any platform, and the index itself"),
        ENUM(struct pull_args, policy, 0, "policy", "POLICY", pull_policy_names,
             "always (the default) asks the registry; missing only where there is no such image "
             "here; newer tolerates a registry that does not answer; never asks"),
        ENUM(struct pull_args, policy, 0, "pull", "POLICY", pull_policy_names, "As --policy",
             .hidden = true),
        HEADING("How"),
        FLAG(struct pull_args, quiet, 'q', "quiet", "Show no progress"),
        UINT(struct pull_args, jobs, 0, "jobs", "N",
             "Pull N layers at once; as many as processors by default, at most 4", .min = 1,
             .max = 16),
        FLAG(struct pull_args, keep_blobs, 0, "keep-blobs",
             "Also keep the layers as they came, so that a push or save needs not compress them"),
        REGISTRY_OPTS(struct pull_args, registry),
        IGNORED(0, "disable-content-trust", "Accepted for docker's sake", .hidden = true),
        IGNORED_VALUE(0, "decryption-key", "KEY", "Accepted for podman's sake", .hidden = true),
        {}
};

/* What all images of one command share. */
struct session {
        struct ctx *c;
        const struct pull_args *args;
        struct pull_options options;
        struct store *store;
        struct progress *progress;
        bool several;
};

static int take_platform(struct ctx *c, const struct pull_args *args, struct platform *ret,
                         struct err *e)
{
        struct platform host;
        const char *text;

        if (args->platform) {
                if (args->os || args->arch || args->variant)
                        return err_set(e, ERR_INVALID,
                                       "--platform excludes --os, --arch and --variant");
                text = args->platform;
        } else if (args->os || args->arch || args->variant) {
                platform_host(&host);
                text = arena_printf(&c->arena, "%s/%s%s%s", args->os ? args->os : host.os,
                                    args->arch ? args->arch : host.architecture,
                                    args->variant ? "/" : "", args->variant ? args->variant : "");
        } else {
                return 0;
        }
        if (args->all_platforms)
                return err_set(e, ERR_INVALID, "--all-platforms excludes choosing one");
        return platform_parse(&c->arena, text, ret, e);
}

static void print_id(const struct image *i)
{
        AUTO_BUF out = { 0 };
        const char *id = i->id ? i->id : i->digest;

        buf_printf(&out, "%s\n", digest_check(id, NULL) == 0 ? digest_hex(id) : id);
        fd_write_all(STDOUT_FILENO, out.s, out.len);
}

static int pull_one(struct session *s, const char *name, struct err *e)
{
        struct image image;
        bool changed;

        if (s->several)
                progress_title(s->progress, name);
        if (image_pull(s->store, &s->c->arena, name, &s->options, progress_watcher(s->progress),
                       &s->c->log, &image, &changed, e) < 0)
                return -1;
        event_image(s->store, "pull", &image, name);
        print_id(&image);
        return 0;
}

/* Every tag of a repository; a name with a tag or digest would contradict that. */
static int pull_all_tags(struct session *s, const char *text, struct err *e)
{
        struct arena *a = &s->c->arena;
        struct fetch *f;
        struct strings tags;
        struct reference r;
        const char *name = str_after(text, "docker://");
        int rc;

        if (reference_parse(a, name ? name : text, &r, e) < 0)
                return -1;
        if (r.tag || r.digest)
                return err_set(e, ERR_INVALID, "--all-tags: \"%s\" names one already", text);
        reference_default(a, &r);
        r.tag = NULL;
        if (fetch_open(&r, &s->options.fetch, &s->c->log, &f, e) < 0)
                return -1;
        rc = fetch_tags(f, a, &tags, e);
        fetch_close(f);
        if (rc < 0)
                return err_in(e, "cannot list the tags of \"%s\"", reference_repository(a, &r));
        if (tags.n == 0)
                return err_set(e, ERR_NOT_FOUND, "\"%s\" has no tags", reference_repository(a, &r));
        s->several = true;
        for (size_t i = 0; i < tags.n; i++) {
                r.tag = tags.v[i];
                if (!reference_tag_ok(r.tag))
                        return err_set(e, ERR_INVALID,
                                       "the registry lists the tag \"%.40s\", "
                                       "which is none",
                                       r.tag);
                if (pull_one(s, reference_str(a, &r), e) < 0)
                        return -1;
        }
        return 0;
}

/* oci:, oci-archive: and so on: podman pulls from those too. */
static int pull_place(struct session *s, const struct archive_place *place, struct err *e)
{
        struct archive_load_options o = { .platform = s->options.platform,
                                          .reference = place->reference,
                                          .keep_blobs = s->options.keep_blobs };
        struct archive_loaded *loaded;
        size_t n;

        if (archive_load_place(s->store, &s->c->arena, place, &o, progress_watcher(s->progress),
                               &s->c->log, &loaded, &n, e) < 0)
                return -1;
        for (size_t i = 0; i < n; i++) {
                const struct image image = { .id = loaded[i].id, .names = loaded[i].names };

                event_image(s->store, "load", &image, NULL);
                print_id(&image);
        }
        return 0;
}

static int pull_argument(struct session *s, const char *text, struct err *e)
{
        struct archive_place place;
        const char *reference;
        int found = archive_place_parse(&s->c->arena, text, &place, &reference, e);

        if (found < 0)
                return -1;
        if (found)
                return pull_place(s, &place, e);
        return s->args->all_tags ? pull_all_tags(s, reference, e) : pull_one(s, reference, e);
}

/* Each image by itself: one that fails does not keep the others from being pulled. */
static int pull_each(struct session *s, int argc, char **argv, struct err *e)
{
        int failed = 0;

        for (int i = 0; i < argc; i++) {
                if (pull_argument(s, argv[i], e) == 0)
                        continue;
                if (e->sys == EINTR || argc == 1)
                        return -1;
                log_err(&s->c->log, LOG_LEVEL_ERROR, e);
                err_clear(e);
                failed++;
        }
        return failed ? EXIT_FAILED : 0;
}

static int run(struct ctx *c, void *p, int argc, char **argv, struct err *e)
{
        const struct pull_args *args = p;
        struct session s = { .c = c, .args = args, .several = argc > 1 };
        int r;

        s.options = (struct pull_options){ .policy = args->policy,
                                           .platform = { "", "", "", "" },
                                           .all_platforms = args->all_platforms,
                                           .keep_blobs = args->keep_blobs,
                                           .asker = prompt_short_name(),
                                           .jobs = (unsigned)args->jobs };
        if (registry_args_take(&args->registry, &s.options.fetch, e) < 0 ||
            take_platform(c, args, &s.options.platform, e) < 0 ||
            store_open(c->globals.root, &c->log, &s.store, e) < 0)
                return -1;
        s.progress = progress_new(STDERR_FILENO, args->quiet);
        r = pull_each(&s, argc, argv, e);
        progress_free(s.progress);
        store_close(s.store);
        return r;
}

static const struct pull_args defaults = { .policy = PULL_ALWAYS,
                                           .registry = REGISTRY_ARGS_DEFAULTS };

const struct command cmd_pull = {
        .name = "pull",
        .alias = { "image pull" },
        .usage = "IMAGE...",
        .help = "Pull images from a registry",
        .about = "Layers are downloaded, verified and unpacked in one pass, several at once. What "
                 "is here already is not fetched again, and a pull that was interrupted goes on "
                 "from where it stopped. The ID of each image is printed in the end.",
        .opts = opts,
        .min = 1,
        .max = -1,
        .needs = NEED_STORE,
        .complete = { COMPLETE_IMAGE, COMPLETE_IMAGE, COMPLETE_IMAGE },
        .args_size = sizeof(struct pull_args),
        .defaults = &defaults,
        .run = run,
};
