#include "node/agent/privileges.h"

#include <cap-ng.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>

namespace cordon::node {
namespace {

struct Capability {
  unsigned number;
  const char* name;
};
constexpr std::array kNeeded = {Capability{CAP_NET_ADMIN, "CAP_NET_ADMIN"}, Capability{CAP_BPF, "CAP_BPF"},
                                Capability{CAP_PERFMON, "CAP_PERFMON"}};

/// What an intruder would reach for and the daemon never calls. The list names what is refused, because
/// libraries and wireguard-go's runtime change what they call; each answers EPERM, so that a wrong guess
/// shows in the log.
constexpr std::array kRefused = {
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "kcmp",
    "pidfd_getfd",
    "mount",
    "umount2",
    "move_mount",
    "open_tree",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "mount_setattr",
    "pivot_root",
    "chroot",
    "unshare",
    "setns",
    "swapon",
    "swapoff",
    "quotactl",
    "init_module",
    "finit_module",
    "delete_module",
    "kexec_load",
    "kexec_file_load",
    "reboot",
    "iopl",
    "ioperm",
    "settimeofday",
    "clock_settime",
    "clock_adjtime",
    "adjtimex",
    "sethostname",
    "setdomainname",
    "acct",
    "syslog",
    "vhangup",
    "nfsservctl",
    "lookup_dcookie",
    "personality",
    "userfaultfd",
    "add_key",
    "request_key",
    "keyctl",
    "open_by_handle_at",
    "name_to_handle_at",
    "mknod",
    "mknodat",
    "setuid",
    "setgid",
    "setreuid",
    "setregid",
    "setresuid",
    "setresgid",
    "setgroups",
    "setfsuid",
    "setfsgid",
};

/// A directory of `uid`'s; what is there already changes hands, but never through a link.
Result<> make_directory(const std::filesystem::path& path, uid_t uid, gid_t gid, mode_t mode) {
  std::error_code ec;
  std::filesystem::create_directories(path, ec);
  if (ec) return fail_errno("can't make " + path.string(), ec.value());
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return fail_errno("can't open " + path.string(), errno, "it is to be a directory, not a link");
  const bool done = ::fchown(fd, uid, gid) == 0 && ::fchmod(fd, mode) == 0;
  const int error = errno;
  ::close(fd);
  if (!done) return fail_errno("can't give " + path.string() + " to the daemon's user", error);
  return {};
}

/// Lets the daemon's user pass through the pins' parents: bpffs is often mounted for root alone. Passing
/// through shows nothing; each pin has permissions of its own.
Result<> open_way(const std::filesystem::path& path) {
  for (auto parent = path.parent_path(); parent != parent.root_path(); parent = parent.parent_path()) {
    struct stat info{};
    if (::stat(parent.c_str(), &info) != 0) return fail_errno("can't look at " + parent.string(), errno);
    if ((info.st_mode & S_IXOTH) != 0) continue;
    if (::chmod(parent.c_str(), (info.st_mode & 07777) | S_IXGRP | S_IXOTH) != 0)
      return fail_errno("can't let the daemon's user pass through " + parent.string(), errno);
  }
  return {};
}

/// Files that an earlier run as root left behind (a token's enrolment, say) would lock the daemon out.
Result<> hand_over_files(const std::filesystem::path& directory, uid_t uid, gid_t gid) {
  std::error_code ec;
  for (const auto& entry : std::filesystem::directory_iterator(directory, ec)) {
    if (!entry.is_regular_file(ec) || entry.is_symlink(ec)) continue;
    if (::lchown(entry.path().c_str(), uid, gid) != 0)
      return fail_errno("can't give " + entry.path().string() + " to the daemon's user", errno);
  }
  return {};
}

Result<> change_user(uid_t uid, gid_t gid) {
  capng_clear(CAPNG_SELECT_BOTH);
  for (const Capability& each : kNeeded)
    capng_update(CAPNG_ADD, static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_INHERITABLE),
                 each.number);
  // The capabilities survive the change of user inside libcap-ng (PR_SET_KEEPCAPS).
  const int changed = capng_change_id(static_cast<int>(uid), static_cast<int>(gid),
                                      static_cast<capng_flags_t>(CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING));
  if (changed != 0)
    return fail(
        ErrorCode::io, "can't become the daemon's user (libcap-ng " + std::to_string(changed) + ")",
        "this needs CAP_SETUID, CAP_SETGID and CAP_SETPCAP, or run as that user with ambient capabilities");
  return {};
}

}  // namespace

Result<> become_user(const std::string& user, const Directories& directories) {
  errno = 0;
  const passwd* entry = ::getpwnam(user.c_str());
  if (entry == nullptr)
    return fail(ErrorCode::not_found, "there is no user \"" + user + "\"",
                "make it: useradd --system --shell /usr/sbin/nologin " + user);
  const uid_t uid = entry->pw_uid;
  const gid_t gid = entry->pw_gid;
  if (uid == 0) return fail(ErrorCode::forbidden, "the daemon is not to run as root", "name another user");
  if (::geteuid() == uid) return {};
  if (::geteuid() != 0)
    return fail(ErrorCode::forbidden, "only root can become \"" + user + "\"",
                "start as root or as that user");
  CORDON_TRY(make_directory(directories.state, uid, gid, 0700));
  CORDON_TRY(hand_over_files(directories.state, uid, gid));
  CORDON_TRY(make_directory(directories.run, uid, gid, 0755));
  CORDON_TRY(make_directory(directories.pins, uid, gid, 0700));
  CORDON_TRY(open_way(directories.pins));
  // wireguard-go's sockets: one directory for all instances, all of one user.
  CORDON_TRY(make_directory("/var/run/wireguard", uid, gid, 0700));
  return change_user(uid, gid);
}

void take_precedence() {
  constexpr int kNice = -10;
  if (::getpriority(PRIO_PROCESS, 0) > kNice) ::setpriority(PRIO_PROCESS, 0, kNice);
}

std::vector<std::string> missing_capabilities() {
  std::vector<std::string> out;
  capng_get_caps_process();
  for (const Capability& each : kNeeded)
    if (capng_have_capability(CAPNG_EFFECTIVE, each.number) == 0) out.emplace_back(each.name);
  return out;
}

Result<> require_modest_privileges() {
  if (::geteuid() == 0)
    return fail(ErrorCode::forbidden, "the daemon is not to run as root",
                "start it with --user cordon, or by its systemd unit");
  std::string missing;
  for (const std::string& name : missing_capabilities()) missing += (missing.empty() ? "" : ", ") + name;
  if (missing.empty()) return {};
  return fail(
      ErrorCode::forbidden, "missing: " + missing,
      "start it as root with --user cordon, or with AmbientCapabilities=CAP_NET_ADMIN CAP_BPF CAP_PERFMON");
}

Result<> lock_down() {
  capng_clear(CAPNG_SELECT_CAPS);
  for (const Capability& each : kNeeded)
    capng_update(CAPNG_ADD, static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_INHERITABLE),
                 each.number);
  if (capng_apply(CAPNG_SELECT_CAPS) != 0) return fail(ErrorCode::io, "can't give up capabilities");
  for (const Capability& each : kNeeded)
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, each.number, 0, 0) != 0)
      return fail_errno(std::string("can't keep ") + each.name + " for wireguard-go", errno);
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno("can't set no_new_privs", errno);
  const std::unique_ptr<void, decltype(&seccomp_release)> filter(seccomp_init(SCMP_ACT_ALLOW),
                                                                 &seccomp_release);
  if (!filter) return fail(ErrorCode::internal, "can't make a seccomp filter");
  for (const char* name : kRefused) {
    const int number = seccomp_syscall_resolve_name(name);
    if (number < 0) continue;  // not on this architecture
    const int added = seccomp_rule_add(filter.get(), SCMP_ACT_ERRNO(EPERM), number, 0);
    if (added < 0) return fail_errno(std::string("can't refuse ") + name, -added);
  }
  const int loaded = seccomp_load(filter.get());
  if (loaded < 0) return fail_errno("can't install the seccomp filter", -loaded);
  return {};
}

}  // namespace cordon::node
