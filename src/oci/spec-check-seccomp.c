/* Rules of config-linux.md, "Seccomp". */
#include <errno.h>

#include "base/macro.h"
#include "base/str.h"
#include "oci/seccomp-names.h"
#include "oci/spec-check.h"
#include "oci/spec-decode.h"

#define NOTIFY "SCMP_ACT_NOTIFY"

static int check_names(const struct spec_seccomp *s, struct err *e)
{
        for (size_t i = 0; i < s->architectures.n; i++)
                if (!seccomp_arch_find(s->architectures.v[i]))
                        return err_set(e, ERR_INVALID,
                                       "linux.seccomp.architectures[%zu]: unknown value %s", i,
                                       spec_quote(s->architectures.v[i]).s);
        for (size_t i = 0; i < s->flags.n; i++)
                if (!seccomp_name_find(seccomp_flags, s->flags.v[i]))
                        return err_set(e, ERR_INVALID, "linux.seccomp.flags[%zu]: unknown value %s",
                                       i, spec_quote(s->flags.v[i]).s);
        return 0;
}

/* An action and its errno; the field is named by the caller. */
static const char *action_fault(const char *action, const struct opt_u64 *ret)
{
        if (!seccomp_name_find(seccomp_actions, action))
                return "unknown action";
        if (ret->set && !str_eq(action, "SCMP_ACT_ERRNO") && !str_eq(action, "SCMP_ACT_TRACE"))
                return "takes no errno, but one is given with";
        if (ret->set && ret->v > 4095 && str_eq(action, "SCMP_ACT_ERRNO"))
                return "an errno above 4095 is given with"; /* the kernel's MAX_ERRNO */
        return NULL;
}

static int check_default(const struct spec_seccomp *s, struct err *e)
{
        const char *fault;

        if (!s->default_action)
                return err_set(e, ERR_INVALID,
                               "linux.seccomp.defaultAction: required, but missing");
        fault = action_fault(s->default_action, &s->default_errno_ret);
        if (fault)
                return err_set(e, ERR_INVALID, "linux.seccomp.defaultAction: %s %s", fault,
                               spec_quote(s->default_action).s);
        /* The filter would stop the very process that has to hand out the listener. */
        if (str_eq(s->default_action, NOTIFY))
                return err_set(e, ERR_INVALID,
                               "linux.seccomp.defaultAction: " NOTIFY
                               " cannot be used as default action");
        return 0;
}

static int check_args(const struct spec_seccomp_rule *r, size_t index, struct err *e)
{
        for (size_t i = 0; i < r->n_args; i++)
                if (!seccomp_name_find(seccomp_operators, r->args[i].op))
                        return err_set(
                                e, ERR_INVALID,
                                "linux.seccomp.syscalls[%zu].args[%zu].op: unknown operator %s",
                                index, i, spec_quote(r->args[i].op).s);
        return 0;
}

static int check_rule(const struct spec_seccomp *s, size_t index, struct err *e)
{
        const struct spec_seccomp_rule *r = &s->rules[index];
        bool notify = str_eq(r->action, NOTIFY);
        const char *fault = action_fault(r->action, &r->errno_ret);

        if (fault)
                return err_set(e, ERR_INVALID, "linux.seccomp.syscalls[%zu].action: %s %s", index,
                               fault, spec_quote(r->action).s);
        if (r->names.n == 0)
                return err_set(e, ERR_INVALID,
                               "linux.seccomp.syscalls[%zu].names: at least one is required",
                               index);
        for (size_t i = 0; i < r->names.n; i++) {
                if (!r->names.v[i][0])
                        return err_set(e, ERR_INVALID,
                                       "linux.seccomp.syscalls[%zu].names[%zu]: is empty", index,
                                       i);
                /* The runtime writes to a pipe, under the filter, before anyone could answer. */
                if (notify && str_eq(r->names.v[i], "write"))
                        return err_set(e, ERR_INVALID,
                                       "linux.seccomp.syscalls[%zu].action: " NOTIFY
                                       " cannot be used for the write syscall",
                                       index);
        }
        if (notify && !s->listener_path)
                return err_set(e, ERR_INVALID,
                               "linux.seccomp.listenerPath: required for " NOTIFY ", but missing");
        return check_args(r, index, e);
}

int spec_check_seccomp(const struct spec *config, struct err *e)
{
        const struct spec_seccomp *s = config->linux_.seccomp;

        if (!s)
                return 0;
        if (check_default(s, e) < 0 || check_names(s, e) < 0)
                return -1;
        for (size_t i = 0; i < s->n_rules; i++)
                if (check_rule(s, i, e) < 0)
                        return -1;
        if (s->listener_metadata && !s->listener_path)
                return err_set(e, ERR_INVALID,
                               "linux.seccomp.listenerMetadata: set, but listenerPath is not");
        return 0;
}
