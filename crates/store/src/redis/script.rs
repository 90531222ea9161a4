//! What Redis has no command for, as scripts: each is atomic, whoever else asks.

use std::sync::LazyLock;

use redis::{FromRedisValue, RedisError, Value};

use super::error::meaning;
use super::link::Link;
use crate::error::StoreError;

/// A script, which the server keeps once it has run.
pub(super) struct Script {
    code: &'static str,
    digest: LazyLock<String>,
}

macro_rules! script {
    ($(#[$doc:meta])* $name:ident $code:literal) => {
        $(#[$doc])*
        pub(super) static $name: Script =
            Script { code: $code, digest: LazyLock::new(|| sha1_smol::Sha1::from($code).digest().to_string()) };
    };
}

script! {
    /// `APPEND` if there is a value. Key; bytes. 0: there is none.
    APPEND
    r"if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
      redis.call('APPEND', KEYS[1], ARGV[1])
      return 1"
}

script! {
    /// Puts bytes in front of a value, behind its head. Key; bytes, how a head begins, its length.
    /// 0: there is none.
    PREPEND
    r"local stored = redis.call('GET', KEYS[1])
      if not stored then return 0 end
      local head = ''
      if string.sub(stored, 1, #ARGV[2]) == ARGV[2] then
        head = string.sub(stored, 1, tonumber(ARGV[3]))
        stored = string.sub(stored, tonumber(ARGV[3]) + 1)
      end
      redis.call('SET', KEYS[1], head .. ARGV[1] .. stored, 'KEEPTTL')
      return 1"
}

script! {
    /// Writes if what is stored has this digest. Key; digest, bytes, seconds to live.
    /// 0: it has another, -1: there is nothing.
    SWAP
    r"local stored = redis.call('GET', KEYS[1])
      if not stored then return -1 end
      if redis.sha1hex(stored) ~= ARGV[1] then return 0 end
      if ARGV[3] == '0' then
        redis.call('SET', KEYS[1], ARGV[2])
      else
        redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
      end
      return 1"
}

script! {
    /// Counts with 64 bits. Numbers of the server's scripts are exact up to 2⁵³ only, and `INCRBY` knows signs;
    /// so a number is taken as three parts of seven digits. Key; what to add or take off, whether to take
    /// it off, what to begin with (empty: nothing), seconds to live then, how a head begins, its length.
    /// Nil: there is none.
    COUNT
    r"local stored = redis.call('GET', KEYS[1])
      if not stored then
        if ARGV[3] == '' then return false end
        if ARGV[4] == '0' then
          redis.call('SET', KEYS[1], ARGV[3])
        else
          redis.call('SET', KEYS[1], ARGV[3], 'EX', ARGV[4])
        end
        return ARGV[3]
      end
      local head = ''
      if string.sub(stored, 1, #ARGV[5]) == ARGV[5] then
        head = string.sub(stored, 1, tonumber(ARGV[6]))
        stored = string.sub(stored, tonumber(ARGV[6]) + 1)
      end
      local function padded(digits) return string.rep('0', 21 - #digits) .. digits end
      local function parts(text)
        return {tonumber(string.sub(text, 1, 7)), tonumber(string.sub(text, 8, 14)),
          tonumber(string.sub(text, 15, 21))}
      end
      local function text(a) return string.format('%07d%07d%07d', a[1], a[2], a[3]) end
      local function minus(a, b)
        local borrow = 0
        for i = 3, 1, -1 do
          a[i] = a[i] - b[i] - borrow
          borrow = 0
          if a[i] < 0 then a[i] = a[i] + 10000000; borrow = 1 end
        end
        return a
      end
      local most = '018446744073709551615'
      if #stored > 20 or not string.match(stored, '^%d+$') or padded(stored) > most then
        return redis.error_reply('WPNOTANUMBER the value is no number')
      end
      local number, by = padded(stored), padded(ARGV[1])
      local sum
      if ARGV[2] == '1' then
        if number < by then sum = padded('0') else sum = text(minus(parts(number), parts(by))) end
      else
        local a, b, carry = parts(number), parts(by), 0
        for i = 3, 1, -1 do
          a[i] = a[i] + b[i] + carry
          carry = 0
          if a[i] >= 10000000 then a[i] = a[i] - 10000000; carry = 1 end
        end
        sum = text(a)
        if sum > most then sum = text(minus(parts(sum), parts('018446744073709551616'))) end
      end
      local digits = string.gsub(sum, '^0+(%d)', '%1')
      redis.call('SET', KEYS[1], head .. digits, 'KEEPTTL')
      return digits"
}

impl Script {
    /// Runs it on a key.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        link: &Link,
        key: &[u8],
        arguments: &[&[u8]],
    ) -> Result<T, StoreError> {
        let command = |name: &str, script: &str| {
            let mut command = redis::cmd(name);
            command.arg(script).arg(1).arg(key).arg(arguments);
            command
        };
        let mut answered = link.try_ask(&command("EVALSHA", &self.digest)).await?;
        if answered.as_ref().is_err_and(|error| error.code() == Some("NOSCRIPT")) {
            answered = link.try_ask(&command("EVAL", self.code)).await?;
        }
        let read = answered.and_then(|value: Value| Ok(T::from_redis_value(value)?));
        read.map_err(|error: RedisError| {
            let size = arguments.iter().map(|argument| argument.len()).max().unwrap_or(0);
            meaning(&error, (size, super::store::LARGEST_VALUE))
        })
    }
}
