#include "policy/trust.h"

#include <algorithm>
#include <vector>

#include "policy/moments.h"

namespace cordon::policy {
namespace {

/// The three scores, 0..100 each but for identity's decay, which is kept as a fraction.
struct Scores {
  int identity = 0;  ///< full, before the login's age takes from it
  int device = 0;
  int behaviour = 0;
};

/// P6: full until half of `longest`, then in a straight line to half of it at `longest`. All exact: the one
/// division rounds half up.
int percent(const TrustSettings::Weights& weights, const Scores& scores, std::int64_t age_s,
            std::optional<Seconds> longest) {
  std::int64_t above = 1, below = 1;  // what is left of identity, as a fraction
  if (longest) {
    const std::int64_t most = longest->count();
    age_s = std::min(age_s, most);
    if (2 * age_s > most) {
      above = 3 * most - 2 * age_s;
      below = 2 * most;
    }
  }
  const std::int64_t sum =
      std::int64_t{weights.identity} * scores.identity * above +
      (std::int64_t{weights.device} * scores.device + std::int64_t{weights.behaviour} * scores.behaviour) *
          below;
  return static_cast<int>((2 * sum + 100 * below) / (200 * below));
}

/// P6: health x 10, and what the policy says a TPM's attestation adds.
int device_score(const TrustSettings& trust, const Device& device, int health) {
  const int points = device.attestation == Attestation::tpm ? trust.tpm_points : 0;
  return std::min(100, health * 10 + points);
}

int behaviour_after(std::int64_t costs) {
  return static_cast<int>(std::max<std::int64_t>(0, 100 - costs));
}

/// Identity and device; none where a fact is missing. Behaviour is the caller's.
std::optional<Scores> scores_of(const Policy& policy, const Device& device, const Session& session) {
  const auto health = health_of(policy, device);
  if (!health || !session.assurance) return std::nullopt;
  const auto level = static_cast<std::size_t>(*session.assurance) - 1;
  return Scores{.identity = policy.trust.identity.at(level),
                .device = device_score(policy.trust, device, *health)};
}

/// Trust as it goes with time, for searching: signals by their ends, with what all that end later cost.
class Course {
 public:
  Course(const Policy& policy, std::optional<Seconds> longest, const Scores& scores, const Session& session)
      : weights_(policy.trust.weights), longest_(longest), scores_(scores), session_(session) {
    for (const Signal& signal : session.signals) ends_.push_back({signal.until, signal.cost});
    std::ranges::sort(ends_, {}, &End::at);
    std::int64_t costs = 0;
    for (auto end = ends_.rbegin(); end != ends_.rend(); ++end) end->costs = costs += end->costs;
  }

  /// The first end of a signal after `t`, or kNever.
  Timestamp next_end(Timestamp t) const {
    const auto next = std::ranges::upper_bound(ends_, t, {}, &End::at);
    return next == ends_.end() ? kNever : next->at;
  }

  int at(Timestamp t) const { return with_age(age(t), costs_at(t)); }

  /// The first moment from `t` on, while no signal ends, at which trust is under `least`.
  Timestamp falls_under(int least, Timestamp t) const {
    if (!longest_) return at(t) < least ? t : kNever;
    const std::int64_t costs = costs_at(t);
    std::int64_t low = age(t), high = longest_->count();
    if (with_age(low, costs) < least) return t;
    if (with_age(high, costs) >= least) return kNever;
    while (high - low > 1) {  // at `low` it is enough, at `high` it isn't: it never rises with age
      const std::int64_t middle = low + (high - low) / 2;
      (with_age(middle, costs) < least ? high : low) = middle;
    }
    return later(*session_.authenticated_at, Seconds(high));
  }

 private:
  struct End {
    Timestamp at;
    std::int64_t costs;  ///< of this one and all that end later
  };

  std::int64_t age(Timestamp t) const { return longest_ ? age_of(*session_.authenticated_at, t).count() : 0; }
  std::int64_t costs_at(Timestamp t) const {
    const auto next = std::ranges::upper_bound(ends_, t, {}, &End::at);
    return next == ends_.end() ? 0 : next->costs;
  }
  int with_age(std::int64_t age_s, std::int64_t costs) const {
    Scores scores = scores_;
    scores.behaviour = behaviour_after(costs);
    return percent(weights_, scores, age_s, longest_);
  }

  const TrustSettings::Weights& weights_;
  std::optional<Seconds> longest_;
  Scores scores_;
  const Session& session_;
  std::vector<End> ends_;
};

}  // namespace

std::optional<int> health_of(const Policy& policy, const Device& device) {
  if (!device.checks) return std::nullopt;
  int tenths = 0;
  for (const auto& [check, weight] : policy.trust.health)
    if (device.checks->contains(check)) tenths += weight;
  if (device.attestation != Attestation::tpm) tenths = std::min(tenths, policy.trust.unattested_health_max);
  return tenths;
}

std::optional<int> trust_of(const Policy& policy, std::optional<Seconds> auth_age_max, const Device& device,
                            const Session* session, Timestamp now) {
  if (!session) return std::nullopt;
  auto scores = scores_of(policy, device, *session);
  if (!scores) return std::nullopt;
  std::int64_t age_s = 0;
  if (auth_age_max) {
    // A login that is yet to come is none.
    if (!session->authenticated_at || *session->authenticated_at > now) return std::nullopt;
    age_s = age_of(*session->authenticated_at, now).count();
  }
  std::int64_t costs = 0;
  for (const Signal& signal : session->signals)
    if (now < signal.until) costs += signal.cost;
  scores->behaviour = behaviour_after(costs);
  return percent(policy.trust.weights, *scores, age_s, auth_age_max);
}

Timestamp trust_falls_under(const Policy& policy, int least, std::optional<Seconds> auth_age_max,
                            const Device& device, const Session& session, Timestamp now) {
  const auto scores = scores_of(policy, device, session);
  if (!scores || !auth_age_max) return kNever;  // without it trust only rises, as signals end
  const Course course(policy, auth_age_max, *scores, session);
  for (Timestamp piece = now; piece != kNever; piece = course.next_end(piece)) {
    const Timestamp falls = course.falls_under(least, piece);
    if (falls < course.next_end(piece)) return falls;
  }
  return kNever;
}

Timestamp trust_rises_to(const Policy& policy, int least, std::optional<Seconds> auth_age_max,
                         const Device& device, const Session& session, Timestamp now) {
  const auto scores = scores_of(policy, device, session);
  if (!scores || (auth_age_max && !session.authenticated_at)) return kNever;
  const Course course(policy, auth_age_max, *scores, session);
  Timestamp moment = now;
  if (auth_age_max && *session.authenticated_at > now) {
    moment = *session.authenticated_at;
    if (course.at(moment) >= least) return moment;
  }
  // It rises only where a signal ends.
  for (moment = course.next_end(moment); moment != kNever; moment = course.next_end(moment))
    if (course.at(moment) >= least) return moment;
  return kNever;
}

}  // namespace cordon::policy
