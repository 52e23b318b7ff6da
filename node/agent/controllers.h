#pragma once
// Where the controllers are: node.toml's are how a node begins; what a controller signs takes their place for
// an isolated host, and is kept on disk (controllers.bin) for the next boot.

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "base/time.h"

namespace cordon::wire {
class Controllers;
}

namespace cordon::node {

class IdentityStore;

/// Whose signatures are believed: controllers of `domain` whose chains lead to `roots_pem`.
struct ControllerTrust {
  std::string_view roots_pem, domain;
};

class Controllers {
 public:
  /// With node.toml's alone.
  Controllers(std::vector<Endpoint> of_config, const std::filesystem::path& state_directory)
      : of_config_(std::move(of_config)), file_(state_directory / "controllers.bin") {}
  /// And with what an earlier run was told, if the trust bundle of `store` vouches for it still. A file that
  /// can't be believed is logged and counts for nothing.
  static Controllers open(std::vector<Endpoint> of_config, const IdentityStore& store);

  /// What a controller said over `through`; on disk when it returns. Nothing changes when the signature isn't
  /// that of a controller in force `now`.
  Result<> take(const wire::Controllers& told, const Endpoint& through, const ControllerTrust& trust,
                Timestamp now);

  /// What an isolated host may talk to and the underlay guard always passes. While nothing is signed,
  /// node.toml's; then the signed ones, and the one over which they were told should it not be among them: a
  /// controller behind a translated address doesn't lock itself out.
  const std::vector<Endpoint>& allowed() const { return told_ ? told_->allowed : of_config_; }
  /// Where to look for a controller, in turn. node.toml's come first, so that a new one is tried; not while
  /// this host is isolated, as its own guard lets only `allowed` through.
  std::vector<Endpoint> tried(bool isolated) const;
  /// "" or that the session's address isn't one that the controller names.
  std::string alarm() const;

  /// The next boot goes by node.toml.
  void forget();

 private:
  struct Told {
    std::vector<Endpoint> allowed;
    std::optional<Endpoint> unnamed;  ///< over which it was told, last in `allowed`
  };
  Result<> load(const ControllerTrust& trust);

  std::vector<Endpoint> of_config_;
  std::filesystem::path file_;
  std::optional<Told> told_;
};

}  // namespace cordon::node
