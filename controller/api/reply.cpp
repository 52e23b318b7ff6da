#include "controller/api/reply.h"

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

namespace cordon::controller::api {
namespace {

std::string_view title_of(unsigned status) {
  switch (status) {
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 503:
      return "Service Unavailable";
    default:
      return "Internal Server Error";
  }
}

std::string detail_of(const Error& error) {
  std::string text;
  for (auto it = error.context.rbegin(); it != error.context.rend(); ++it) text += *it + ": ";
  return text + error.what;
}

}  // namespace

Reply json_reply(const boost::json::object& object, unsigned status) {
  return Reply{.status = status, .body = boost::json::serialize(object)};
}

unsigned status_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid:
    case ErrorCode::protocol:
      return 400;
    case ErrorCode::unauthorized:
      return 401;
    case ErrorCode::forbidden:
      return 403;
    case ErrorCode::not_found:
      return 404;
    case ErrorCode::conflict:
      return 409;
    case ErrorCode::exhausted:
      return 429;
    case ErrorCode::unavailable:
      return 503;
    case ErrorCode::io:
    case ErrorCode::internal:
      return 500;
  }
  return 500;
}

Reply problem(const Error& error, boost::json::object extra) {
  return problem(status_of(error.code), error, std::move(extra));
}

Reply problem(unsigned status, const Error& error, boost::json::object extra) {
  std::string code(to_string(error.code));
  std::string type = "urn:cordon:problem:" + code;
  for (char& c : type) c = c == ' ' ? '-' : c;
  boost::json::object body{{"type", type},
                           {"title", title_of(status)},
                           {"status", status},
                           {"detail", detail_of(error)},
                           {"code", code}};
  if (!error.hint.empty()) body["hint"] = error.hint;
  for (auto& member : extra) body[member.key()] = std::move(member.value());
  Reply reply = json_reply(body, status);
  reply.content_type = "application/problem+json";
  if (status == 429 || status == 503) reply.retry_after_s = 1;
  return reply;
}

}  // namespace cordon::controller::api
