using System.Net;
using Gateway.Planning;

namespace Gateway.Configuration;

/// <summary>What must hold between values that are each fine alone, and of the files they name.</summary>
internal sealed class ConfigurationRules(SchemaReader read, DiagnosticList diagnostics)
{
    /// <summary>Checks everything; nothing is bound or written.</summary>
    public void Check()
    {
        Ports();
        Times();
        Environments();
        Services();
        ConsulFiles();
        CatalogFiles();
        Paths();
    }

    private void Ports()
    {
        if (Value("admin.listen") is { Typed: IPEndPoint admin } adminValue
            && Value("catalog.embedded.listen") is { Typed: IPEndPoint embedded } embeddedValue
            && AddressForms.Collide(admin, embedded))
        {
            (ReadValue later, string laterKey, string other) = adminValue.Place == Place.Default
                ? (embeddedValue, "catalog.embedded.listen", $"admin.listen ({AddressForms.Listen(admin)}, {adminValue.Place})")
                : (adminValue,
                    "admin.listen",
                    $"catalog.embedded.listen ({AddressForms.Listen(embedded)}, {embeddedValue.Place})");
            diagnostics.Error(
                later.Place,
                $"{laterKey}: '{later.Text}' is the same address and port as {other}; choose another port");
        }

        if (Value("catalog.consul.address") is { Typed: Uri consul } consulValue
            && IPAddress.TryParse(consul.Host == "localhost" ? "127.0.0.1" : consul.DnsSafeHost, out IPAddress? host))
        {
            foreach (string key in new[] { "admin.listen", "catalog.embedded.listen" })
            {
                if (Value(key) is { Typed: IPEndPoint own } ownValue
                    && AddressForms.Collide(own, new IPEndPoint(host, consul.Port)))
                {
                    diagnostics.Error(
                        consulValue.Place == Place.Default ? read.Written["catalog.consul"] : consulValue.Place,
                        $"catalog.consul.address: '{consulValue.Text}' is Gateway's own {key} ({ownValue.Place}), not a Consul; "
                        + $"change one of them{(key == "admin.listen" ? "" : " or name only one source")}");
                }
            }
        }
    }

    private void Times()
    {
        NotLonger("drain.grace", "drain.timeout");
        NotLonger("drain.idle", "drain.timeout");
    }

    private void NotLonger(string key, string limitKey)
    {
        if (Value(key) is { Typed: TimeSpan value } shown
            && Value(limitKey) is { Typed: TimeSpan limit } limitShown
            && value > limit)
        {
            Place place = shown.Place == Place.Default ? limitShown.Place : shown.Place;
            diagnostics.Error(place, $"{key} {shown.Text} is longer than {limitKey} {limitShown.Text}; it must fit into it");
        }
    }

    private void Environments()
    {
        List<(string Name, Place Place)> environments = read.Entries["environments"];
        string known = string.Join(", ", environments.Select(e => e.Name));
        if (Value("defaultEnvironment") is { Typed: string name } value && !environments.Exists(e => e.Name == name))
        {
            Place place = value.Place != Place.Default ? value.Place
                : environments.Count > 0 ? environments[0].Place
                : read.Written.GetValueOrDefault("environments", value.Place);
            string allowed = environments.Count == 0 ? "environments is empty" : $"allowed is {known}";
            diagnostics.Error(place, $"defaultEnvironment: '{name}' is not in environments; {allowed}");
        }

        foreach (string rule in new[] { "port", "host" })
        {
            foreach (IGrouping<string, (string Name, Place Place)> same in environments
                .Where(e => Value($"environments.{e.Name}.{rule}")?.Typed is string)
                .GroupBy(e => Value($"environments.{e.Name}.{rule}")!.Text, StringComparer.Ordinal)
                .Where(g => g.Count() > 1))
            {
                (string last, Place place) = same.Last();
                string names = string.Join(" and ", same.Select(e => $"'{e.Name}'"));
                diagnostics.Warning(
                    Value($"environments.{last}.{rule}") is { Place.InFile: true } v ? v.Place : place,
                    $"environments: {names} have the same {rule} rule '{same.Key}'; "
                    + "a service that is in both is reached in only one of them");
            }
        }
    }

    private void Services()
    {
        List<(string Name, Place Place)> environments = read.Entries["environments"];
        Dictionary<string, Place> seen = new(StringComparer.Ordinal);
        foreach (ReadService service in read.Services)
        {
            int at = service.Name.LastIndexOf('@');
            string environment = at < 0 ? "" : service.Name[(at + 1)..].ToLowerInvariant();
            if (!seen.TryAdd(at < 0 ? service.Name : $"{service.Name[..at]}@{environment}", service.Place))
            {
                diagnostics.Error(
                    service.Place,
                    $"services: duplicate name '{service.Name}' (environments are compared without case)");
            }

            if (at >= 0 && !environments.Exists(e => e.Name == environment))
            {
                string nearest = EditDistance.Closest(environment, environments.Select(e => e.Name)) ?? "none";
                diagnostics.Error(
                    service.Place,
                    $"services: '{service.Name}': unknown environment '{environment}'; the nearest is '{nearest}'");
            }
        }
    }

    private void ConsulFiles()
    {
        if (Value("catalog.consul.tokenFile") is { Typed: string token } tokenValue)
        {
            Report(tokenValue.Place, "catalog.consul.tokenFile", NamedFiles.TokenProblem(token));
        }

        ReadValue? ca = Value("catalog.consul.tls.ca");
        ReadValue? certificate = Value("catalog.consul.tls.cert");
        ReadValue? key = Value("catalog.consul.tls.key");
        if (ca is { Typed: string authorities })
        {
            Report(ca.Place, "catalog.consul.tls.ca", NamedFiles.AuthoritiesProblem(authorities));
        }

        if (certificate is { Typed: string own })
        {
            Report(certificate.Place, "catalog.consul.tls.cert", NamedFiles.CertificateProblem(own, key?.Typed as string));
        }
        else if (key is { Typed: string })
        {
            diagnostics.Error(
                key.Place,
                "catalog.consul.tls.key: there is no tls.cert that it could belong to; add tls.cert or remove tls.key");
        }

        if (Value("catalog.consul.address") is { Typed: Uri { Scheme: "http" } address })
        {
            foreach (ReadValue tls in new[] { ca, certificate, key }.OfType<ReadValue>().Where(v => v.Typed is not null))
            {
                diagnostics.Warning(
                    tls.Place,
                    $"catalog.consul.tls: not used, because catalog.consul.address is {address}; write https://");
            }
        }
    }

    private void CatalogFiles()
    {
        if (read.Find("catalog.files") is not { Typed: List<object> paths } value)
        {
            return;
        }

        foreach (string path in paths.Cast<string>())
        {
            string folder = Path.GetDirectoryName(path) ?? "/";
            if (folder.AsSpan().ContainsAny('*', '?'))
            {
                diagnostics.Error(value.Place, $"catalog.files: '{path}': * and ? are allowed only in the last part of a path");
            }
            else if (!Directory.Exists(folder))
            {
                diagnostics.Warning(
                    value.Place,
                    $"catalog.files: '{path}': there is no directory {folder} yet; what appears there later is read then");
            }
            else if (!path.AsSpan().ContainsAny('*', '?') && !File.Exists(path))
            {
                diagnostics.Warning(value.Place, $"catalog.files: '{path}' does not exist yet; it is read when it appears");
            }
        }
    }

    private void Paths()
    {
        if (Value("stateDirectory") is { Typed: string state } value && StateDirectory.PathProblem(state) is { } problem)
        {
            diagnostics.Error(value.Place, $"stateDirectory: {problem}");
        }

        if (Value("log.access.file") is { Typed: string file } log && file != "-")
        {
            if (Directory.Exists(file))
            {
                diagnostics.Error(log.Place, $"log.access.file: '{file}' is a directory; name a file in it");
            }
            else if (!Directory.Exists(Path.GetDirectoryName(file)))
            {
                diagnostics.Warning(
                    log.Place,
                    $"log.access.file: there is no directory {Path.GetDirectoryName(file)} on this host");
            }
        }
    }

    // Only values that were accepted: one mistake must not make a second message about its stand-in.
    private ReadValue? Value(string path) => read.Find(path) is { Valid: true } value ? value : null;

    private void Report(Place place, string key, string? problem)
    {
        if (problem is not null)
        {
            diagnostics.Error(place, $"{key}: {problem}");
        }
    }
}
