--- `:Inkling NAME ...`: what can be asked for by name.
local client = require("inkling.client")
local inkling = require("inkling")
local languages = require("inkling.languages")
local program = require("inkling.program")
local status = require("inkling.status")

local M = {}

local LEVELS = { "balanced", "eager", "quiet" }
local PARTS = { "all", "line", "word" }
local MODEL_VERBS = { "add", "decline", "info", "list", "remove", "use", "where" }

local function say(message, level)
  vim.notify("inkling: " .. message, level or vim.log.levels.INFO)
end

local function say_status()
  local known = status.known()
  if not known.state then
    return say("no buffer here was one for Inkling yet; it starts with the first")
  end
  local parts = { status.line(), known.message, known.level and "level " .. known.level }
  say(table.concat(
    vim.tbl_filter(function(part)
      return part and part ~= ""
    end, parts),
    "; "
  ))
end

local function switch(name, arguments)
  client.execute(name, arguments, say_status)
end

local function server_command(arguments)
  local name = table.remove(arguments, 1)
  client.execute(name or "inkling.status", arguments, function(result)
    say(vim.inspect(result))
  end)
end

local function model(arguments)
  if arguments[1] == "decline" then
    return program.decline()
  end
  program.run(vim.list_extend({ "model" }, #arguments > 0 and arguments or { "list" }))
end

local function explain()
  client.execute("inkling.explainLast", {}, function(last)
    local has_last = type(last) == "table" and last.sentence
    say(has_last and last.sentence or "nothing was asked yet")
  end)
end

local function accept(arguments)
  local part = arguments[1] or "all"
  if not vim.tbl_contains(PARTS, part) then
    return say("accept takes one of: " .. table.concat(PARTS, ", "), vim.log.levels.ERROR)
  end
  inkling.accept(part)
end

local function toggle(arguments)
  local language = arguments[1] or languages.id(vim.bo.filetype)
  switch("inkling.toggleLanguage", { language })
end

-- name -> what it does, and what its first argument can be
local COMMANDS = {
  accept = { accept, PARTS },
  dismiss = { inkling.dismiss },
  doctor = {
    function()
      program.run({ "doctor" })
    end,
  },
  explain = { explain },
  log = {
    function()
      vim.cmd("tabedit " .. vim.fn.fnameescape(client.log_file()))
    end,
  },
  level = {
    function(arguments)
      switch("inkling.setLevel", arguments)
    end,
    LEVELS,
  },
  model = { model, MODEL_VERBS },
  next = { inkling.next },
  pause = {
    function()
      inkling.dismiss()
      switch("inkling.pause")
    end,
  },
  previous = { inkling.previous },
  request = { inkling.request },
  restart = { client.restart },
  resume = {
    function()
      switch("inkling.resume")
    end,
  },
  server = { server_command, client.commands },
  stats = {
    function()
      program.run({ "stats" })
    end,
  },
  status = { say_status },
  toggle = { toggle },
}

local function names()
  local all = vim.tbl_keys(COMMANDS)
  table.sort(all)
  return all
end

--- Run `:Inkling` with these arguments.
function M.run(arguments)
  local name = table.remove(arguments, 1) or "status"
  if not COMMANDS[name] then
    local known = table.concat(names(), ", ")
    return say(("there is no %s; there are: %s"):format(name, known), vim.log.levels.ERROR)
  end
  COMMANDS[name][1](arguments)
end

--- Return what may follow in the command line `line`, which ends at the cursor, as `begun` begins.
function M.complete(begun, line)
  local words = vim.split(vim.trim(line:sub(1, #line - #begun)), "%s+")
  local candidates = {}
  if #words == 1 then
    candidates = names()
  elseif #words == 2 and COMMANDS[words[2]] then
    candidates = COMMANDS[words[2]][2] or {}
    candidates = type(candidates) == "function" and candidates() or candidates
  end
  return vim.tbl_filter(function(candidate)
    return vim.startswith(candidate, begun)
  end, candidates)
end

return M
