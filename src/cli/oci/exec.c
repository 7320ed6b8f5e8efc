/* exec. */
#include "cli/oci/ctx.h"
#include "kernel/exe.h"

static const struct opt opts[] = {
        STR(struct exec_options, process, 'p', "process", "FILE",
            "Take the process from FILE, a process object in JSON", .complete = COMPLETE_FILE),
        STR(struct exec_options, cwd, 0, "cwd", "DIR",
            "The working directory inside the container"),
        LIST(struct exec_options, env, 'e', "env", "NAME=VALUE",
             "Add to the container's environment"),
        FLAG(struct exec_options, tty, 't', "tty", "Give the process a terminal"),
        STR(struct exec_options, user, 'u', "user", "UID[:GID]", "Run as this user, by number"),
        LIST(struct exec_options, additional_gids, 'g', "additional-gids", "GID",
             "Add a supplementary group"),
        LIST(struct exec_options, caps, 'c', "cap", "CAPABILITY",
             "Add to the bounding, effective and permitted sets"),
        FLAG(struct exec_options, no_new_privs, 0, "no-new-privs", "Set no_new_privs"),
        STR(struct exec_options, selinux, 0, "process-label", "LABEL",
            "The SELinux label of the process"),
        STR(struct exec_options, apparmor, 0, "apparmor", "PROFILE",
            "The AppArmor profile of the process"),
        FLAG(struct exec_options, detach, 'd', "detach", "Return once the process is started"),
        STR(struct exec_options, pid_file, 0, "pid-file", "FILE", "Write the process's pid to FILE",
            .complete = COMPLETE_FILE),
        STR(struct exec_options, console_socket, 0, "console-socket", "PATH",
            "Send the terminal's master to the unix socket at PATH", .complete = COMPLETE_FILE),
        STR(struct exec_options, pidfd_socket, 0, "pidfd-socket", "PATH",
            "Send a pidfd of the process to the unix socket at PATH", .complete = COMPLETE_FILE),
        LIST(struct exec_options, cgroups, 0, "cgroup", "[CONTROLLERS:]PATH",
             "Join a cgroup below the container's, in all hierarchies or in those of the "
             "controllers"),
        FLAG(struct exec_options, ignore_paused, 0, "ignore-paused",
             "Enter a paused container, and wait in it until it is resumed"),
        INT(struct exec_options, preserve_fds, 0, "preserve-fds", "N",
            "Pass on N descriptors from 3 upwards"),
        IGNORED(0, "no-subreaper", "Ignored: exec has no orphans to reap", .hidden = true),
        {}
};

static int exec(struct ctx *c, void *args, int argc, char **argv, struct err *e)
{
        struct exec_options *o = args;
        int status, r;

        o->id = argv[0];
        o->args = (struct strings){ (const char **)(argv + 1), (size_t)argc - 1 };
        if (!o->process && o->args.n == 0)
                return err_set(e, ERR_INVALID, "exec needs a command, or --process FILE");
        r = exe_detach(c->argv);
        if (r < 0)
                return err_sys(e, r, "cannot let go of the program's own file");
        return runtime_exec(&c->rt, o, &status, e) < 0 ? -1 : status;
}

const struct command oci_exec = {
        .name = "exec",
        .usage = "CONTAINER-ID [COMMAND [ARG...]]",
        .help = "Run another process in a container",
        .about = "The exit status is the process's, 128 plus the number of the signal that killed "
                 "it, "
                 "or 255 if it could not be started.",
        .opts = opts,
        .min = 1,
        .max = -1,
        .stop_at_positional = true,
        .complete = { COMPLETE_CONTAINER, COMPLETE_COMMAND },
        .args_size = sizeof(struct exec_options),
        .run = exec,
};
