#include <boost/asio/post.hpp>

#include "controller/core/config.h"
#include "controller/core/metrics.h"
#include "controller/core/services.h"
#include "controller/identity/local_identity.h"

namespace cordon::controller {

std::unique_ptr<Identity> make_identity(Services& services) {
  IdentityLimits limits;
  limits.longest_session = services.config.session_longest;
  return make_local_identity(
      {.log = services.log,
       .secrets = services.secrets,
       .clock = services.clock,
       .count = [&metrics = services.metrics](std::string_view outcome) { metrics.count("logins", outcome); },
       .post = [strand = services.strand](
                   std::function<void()> work) { boost::asio::post(strand, std::move(work)); }},
      limits);
}

}  // namespace cordon::controller
