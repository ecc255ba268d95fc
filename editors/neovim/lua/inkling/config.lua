--- The options of `require("inkling").setup{}`: what they are, and whether what was written fits.
local M = {}

local function is_strings(value)
  if type(value) ~= "table" then
    return false
  end
  for key, element in pairs(value) do
    if type(key) ~= "number" or type(element) ~= "string" then
      return false
    end
  end
  return true
end

local function is_boolean(value)
  return type(value) == "boolean"
end

local function is_key(value)
  return value == false or type(value) == "string" and value ~= ""
end

local KEY = { fits = is_key, wanted = 'a key such as "<C-l>", or false for none' }
local YES_OR_NO = { fits = is_boolean, wanted = "true or false" }
local STRINGS = { fits = is_strings, wanted = 'a list of strings, such as { "a", "b" }' }

local function rule(kind, default)
  return { fits = kind.fits, wanted = kind.wanted, default = default }
end

local KEYS = {
  accept = rule(KEY, "<Tab>"),
  accept_word = rule(KEY, "<M-Right>"),
  accept_line = rule(KEY, "<M-C-Right>"),
  dismiss = rule(KEY, "<C-]>"),
  request = rule(KEY, "<M-Bslash>"),
  next = rule(KEY, "<M-]>"),
  previous = rule(KEY, "<M-[>"),
}

local RULES = {
  command = rule(STRINGS, {}),
  args = rule(STRINGS, {}),
  filetypes = rule(STRINGS, {}),
  settings = {
    fits = function(value)
      return type(value) == "table"
    end,
    wanted = 'a table of settings of the server, such as { level = "quiet" }',
    default = {},
  },
  debounce_ms = {
    fits = function(value)
      return type(value) == "number" and value >= 0 and value <= 1000 and value % 1 == 0
    end,
    wanted = "a whole number from 0 to 1000",
    default = 50,
  },
  native = {
    fits = function(value)
      return value == false or value == true and vim.lsp.inline_completion ~= nil
    end,
    wanted = "true needs Neovim 0.12 or newer; else false",
    default = false,
  },
  offer_models = rule(YES_OR_NO, true),
  keys = { rules = KEYS },
}

local function names(rules)
  local all = vim.tbl_keys(rules)
  table.sort(all)
  return table.concat(all, ", ")
end

local function default_of(one)
  if not one.rules then
    return vim.deepcopy(one.default)
  end
  local defaults = {}
  for name, inner in pairs(one.rules) do
    defaults[name] = default_of(inner)
  end
  return defaults
end

local function read(given, rules, prefix, problems)
  local options = default_of({ rules = rules })
  for name, value in pairs(given) do
    local one, full = rules[name], prefix .. tostring(name)
    if not one then
      local remedy = "remove it, or use one of: " .. names(rules)
      table.insert(problems, ("there is no option %s; %s"):format(full, remedy))
    elseif one.rules and type(value) == "table" then
      options[name] = read(value, one.rules, full .. ".", problems)
    elseif one.rules or not one.fits(value) then
      local wanted = one.wanted or "a table with some of: " .. names(one.rules)
      local remedy = ("%s; its default holds until then"):format(wanted)
      local written = vim.inspect(value, { newline = " ", indent = "" })
      table.insert(problems, ("%s = %s makes no sense: %s"):format(full, written, remedy))
    else
      options[name] = vim.deepcopy(value)
    end
  end
  return options
end

--- Return all options, with the default for each that is missing or wrong, and what is wrong.
function M.read(given)
  local problems = {}
  if type(given) ~= "table" then
    table.insert(problems, "setup takes a table of options")
    given = {}
  end
  local options = read(given, RULES, "", problems)
  table.sort(problems)
  return options, problems
end

M.options = M.read({})

return M
